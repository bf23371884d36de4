/*
 * retrain.h: having a trainer make a run.
 */
#ifndef TRAIN_RETRAIN_H
#define TRAIN_RETRAIN_H

#include "postgres.h"

#include "fmgr.h"

#include "train/options.h"

/*
 * Have a trainer make a run for the SQL function that was called with fcinfo, and return its row.  Without wait the
 * row has only the run's id.  Throws an error if the run cannot start, and the run's own errors.
 */
extern Datum retrain_request(FunctionCallInfo fcinfo, const Hyperparameters *hyper, const TrainingOrders *orders,
							 const TrainingStudy *study, bool wait);

#endif /* TRAIN_RETRAIN_H */
