/*
 * challenge.c: a second model tried out beside the live one.
 *
 * A challenge gives a second model, the challenger, a share of the readings that mnist_predict and
 * mnist_predict_batch store: it answers them (A/B), or it reads them along with the live model (shadow).  Which
 * challenge is under way is looked up with the live model (see model_cache.c); what people make of the readings is
 * compared in SQL (sql/challenge.sql).
 *
 * Which readings the challenger gets follows from their ids alone: each id has a point between 0 and 1, and the
 * challenger gets those below the share.  So a reading always falls on the same side, whatever the image shows and
 * whoever asks, and with a larger share the challenger keeps what it had.
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
 * The point of an id, 0 <= point < 1: the upper 53 bits of the id scrambled by SplitMix64 (util/rng.h).
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

/* mnist_hil_challenge_point(id): where a reading falls. */
Datum
mnist_hil_challenge_point(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(challenge_point(PG_GETARG_INT64(0)));
}

/*
 * mnist_hil_readers(): one row: the newest deployment and its version, and the challenge under way; nulls where there
 * is none; as of now, whatever the snapshot, which is what sessions go by.
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
