/*
 * settings.h: the GUCs mnist_hil.*, which settings.c defines and documents.
 */
#ifndef PG_SETTINGS_H
#define PG_SETTINGS_H

#include "postgres.h"

#define MAX_EPOCHS 10000 /* of a training run */
#define MAX_MAX_IMAGE_PIXELS (256 * 1024 * 1024)

extern int mnist_hil_shared_memory; /* kB */
extern int mnist_hil_max_image_pixels;
extern int mnist_hil_max_image_bytes;
extern bool mnist_hil_log_predictions;
extern int mnist_hil_training_workers;	 /* processes of a run, the trainer included */
extern int mnist_hil_training_memory;	 /* kB, over all processes of a run */
extern int mnist_hil_epochs;			 /* 0: the strategy's default */
extern int mnist_hil_trials;			 /* of a search */
extern double mnist_hil_annotator_share; /* largest fraction of a run's feedback */
extern int mnist_hil_annotator_labels;	 /* images that each annotator may label alone in any case */
extern bool mnist_hil_require_approval;
extern int mnist_hil_retention_budget; /* ms */
extern int mnist_hil_probation;		   /* labelled predictions; 0: off */
extern int mnist_hil_probation_predictions;

extern int mnist_hil_drift_window;	   /* predictions */
extern int mnist_hil_drift_window_age; /* s; 0: any */
extern int mnist_hil_drift_min_window; /* predictions */
extern double mnist_hil_drift_effect;
extern double mnist_hil_drift_significance;
extern int mnist_hil_drift_breaches;
extern int mnist_hil_drift_cooldown; /* s */

extern void settings_define(void);

#endif /* PG_SETTINGS_H */
