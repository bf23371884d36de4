/*
 * retrain.h: to have a trainer do a run.
 */
#ifndef TRAIN_RETRAIN_H
#define TRAIN_RETRAIN_H

#include "postgres.h"

#include "fmgr.h"

#include "train/options.h"

/*
 * Have a trainer do a run, as the SQL function at hand was called to, and return its row.  Without wait it holds only
 * the run.  Throws what is in the way, and the run's own errors.
 */
extern Datum retrain_request(FunctionCallInfo fcinfo, const Hyperparameters *hyper, const TrainingOrders *orders,
							 const TrainingStudy *study, bool wait);

#endif /* TRAIN_RETRAIN_H */
