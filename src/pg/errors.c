/*
 * errors.c: throw the errors of the plain libraries, with SQLSTATEs for their status codes.
 */
#include "postgres.h"

#include "pg/errors.h"

void
nn_throw(const NnError *error)
{
	int code = ERRCODE_INTERNAL_ERROR;

	switch (error->status)
	{
		case NN_ERR_SYNTAX:
			code = ERRCODE_INVALID_PARAMETER_VALUE;
			break;
		case NN_ERR_LIMIT:
			code = ERRCODE_PROGRAM_LIMIT_EXCEEDED;
			break;
		case NN_ERR_CORRUPT:
			code = ERRCODE_INVALID_BINARY_REPRESENTATION;
			break;
		case NN_ERR_VERSION:
		case NN_ERR_UNAVAILABLE:
			code = ERRCODE_FEATURE_NOT_SUPPORTED;
			break;
		case NN_OK:
			break;
	}
	ereport(ERROR, (errcode(code), errmsg("%s", error->message)));
}

void
nn_parse(NnNet *net, const char *text)
{
	NnError error;

	if (nn_net_parse(net, text, strlen(text), &error) != NN_OK)
		nn_throw(&error);
}

void
image_throw(const ImageError *error, const char *hint)
{
	int code = ERRCODE_INTERNAL_ERROR;

	switch (error->status)
	{
		case IMAGE_ERR_FORMAT:
		case IMAGE_ERR_CORRUPT:
			code = ERRCODE_INVALID_BINARY_REPRESENTATION;
			break;
		case IMAGE_ERR_LIMIT:
			code = ERRCODE_PROGRAM_LIMIT_EXCEEDED;
			break;
		case IMAGE_ERR_MEMORY:
			code = ERRCODE_OUT_OF_MEMORY;
			break;
		case IMAGE_OK:
			break;
	}
	ereport(ERROR, (errcode(code), errmsg("%s", error->message),
					error->detail[0] ? errdetail("%s", error->detail) : 0, hint ? errhint("%s", hint) : 0));
}
