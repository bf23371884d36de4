/*
 * error.h: how functions of src/nn fail.
 *
 * They return an NnStatus and fill in an NnError, whose message reads like a PostgreSQL primary message.
 */
#ifndef NN_ERROR_H
#define NN_ERROR_H

typedef enum NnStatus
{
	NN_OK = 0,
	NN_ERR_SYNTAX,	   /* a description that cannot be parsed, or shapes that do not fit */
	NN_ERR_LIMIT,	   /* well formed, but beyond a limit of nn.h */
	NN_ERR_CORRUPT,	   /* a blob or file that is truncated, of the wrong magic, or fails its checksum */
	NN_ERR_VERSION,	   /* a blob or file of a format version that this code does not know */
	NN_ERR_UNAVAILABLE /* this machine lacks the requested kernels or BLAS */
} NnStatus;

typedef struct NnError
{
	NnStatus status;
	char message[256]; /* primary message: lower case, no full stop */
} NnError;

/* Fill in an error; returns the status. */
extern NnStatus nn_fail(NnError *error, NnStatus status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Set the error to NN_OK without a message. */
extern void nn_error_clear(NnError *error);

#endif /* NN_ERROR_H */
