/*
 * challenge.c: a second model tried out beside the live one.
 *
 * A challenge gives a second model, the challenger, a fraction of the predictions that mnist_predict and
 * mnist_predict_batch store.  The challenger answers them (A/B), or it predicts along with the live model (shadow).
 * The challenge is looked up together with the live model (cache.c).  SQL compares the two models by the labels.
 *
 * The id of a prediction alone decides who answers it.  Each id has a point between 0 and 1, and the challenger gets
 * the points below the fraction.  So neither the image nor the user influences the choice, and if the fraction
 * grows, the challenger keeps the ids that it had.
 */
#include "postgres.h"

#include "fmgr.h"

#include "model/challenge.h"
#include "model/store.h"
#include "pg/rows.h"
#include "util/rng.h"

PG_FUNCTION_INFO_V1(mnist_hil_challenge_point);
PG_FUNCTION_INFO_V1(mnist_hil_readers);

/*
 * The point of an id, 0 <= point < 1: SplitMix64 (util/rng.h) scrambles the id, and the upper 53 bits of the result
 * are the point.
 */
static double
challenge_point(int64 id)
{
	return (double) (rng_key((uint64) id, 0) >> 11) / (double) (UINT64CONST(1) << 53);
}

bool
challenge_takes_part(const Challenge *challenge, int64 id)
{
	return challenge_point(id) < (double) challenge->share;
}

/* mnist_hil_challenge_point(id): the point of a prediction, 0 .. 1. */
Datum
mnist_hil_challenge_point(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(challenge_point(PG_GETARG_INT64(0)));
}

/*
 * mnist_hil_readers(): one row with the newest deployment, its version, and the challenge under way; nulls if there
 * is none.  It shows the committed state as of now, whatever the snapshot, since sessions use that, too.
 */
Datum
mnist_hil_readers(PG_FUNCTION_ARGS)
{
	TupleDesc desc = row_type(fcinfo, 6);
	int64 deployment = 0;
	int version = 0;
	Challenge challenge;
	Datum values[6];
	bool nulls[6] = {false};

	if (!model_store_newest_deployment(&deployment, &version))
		memset(nulls, true, 2 * sizeof(bool));
	values[0] = Int64GetDatum(deployment);
	values[1] = Int32GetDatum(version);
	model_store_challenge(deployment, &challenge);
	values[2] = Int64GetDatum(challenge.id);
	values[3] = Int32GetDatum(challenge.version);
	values[4] = Float4GetDatum(challenge.share);
	values[5] = BoolGetDatum(challenge.shadow);
	memset(&nulls[2], challenge.id == 0, 4 * sizeof(bool));
	PG_RETURN_DATUM(make_row(desc, values, nulls));
}
