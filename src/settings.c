/*
 * settings.c: the GUCs mnist_hil.*
 *
 * What an application must not decide for itself, because it takes the server's resources or what is on record, is
 * for superusers (PGC_SUSET: ALTER ROLE ... SET and ALTER DATABASE ... SET by a superuser, or GRANT SET ON
 * PARAMETER from 15 on); what only shapes the caller's own work is for everyone.
 */
#include "postgres.h"

#include <limits.h>

#include "miscadmin.h"

#include "mnist_hil.h"

#define SHARED_MEMORY_DEFAULT (16 * 1024) /* kB */
#define SHARED_MEMORY_MIN 1024
#define SHARED_MEMORY_MAX (4 * 1024 * 1024)

/* A pixel costs up to two bytes while a picture is decoded, its ink and its transparency: 34 MB for the default. */
#define MAX_IMAGE_PIXELS_DEFAULT (16 * 1024 * 1024)
#define MAX_IMAGE_PIXELS_MIN NN_PIXELS
#define MAX_IMAGE_PIXELS_MAX (256 * 1024 * 1024)

#define LOG_PREDICTIONS_DEFAULT true

#define NOTIFY_DEFAULT true

#define TRAINING_WORKERS_DEFAULT 2
#define TRAINING_WORKERS_MIN 1
#define TRAINING_WORKERS_MAX 64

#define TRAINING_MEMORY_DEFAULT (512 * 1024) /* kB */
#define TRAINING_MEMORY_MIN (32 * 1024)
#define TRAINING_MEMORY_MAX MAX_KILOBYTES

#define EPOCHS_DEFAULT 0 /* the strategy's own */
#define EPOCHS_MIN 0
#define EPOCHS_MAX 1000

int mnist_hil_shared_memory = SHARED_MEMORY_DEFAULT;
int mnist_hil_max_image_pixels = MAX_IMAGE_PIXELS_DEFAULT;
bool mnist_hil_log_predictions = LOG_PREDICTIONS_DEFAULT;
static bool mnist_hil_notify = NOTIFY_DEFAULT;
int mnist_hil_training_workers = TRAINING_WORKERS_DEFAULT;
int mnist_hil_training_memory = TRAINING_MEMORY_DEFAULT;
int mnist_hil_epochs = EPOCHS_DEFAULT;

static void
define_serving(void)
{
	/*
	 * A setting that is fixed at server start cannot be made later, which is the case where the library is not
	 * preloaded.  There the setting does nothing, and is made only so that a line in postgresql.conf does not look
	 * like a mistake.
	 */
	DefineCustomIntVariable(
		"mnist_hil.shared_memory", "Shared memory for models ready to use.",
		"Models are kept there once for all sessions of all databases; one that does not fit is kept by each "
		"session for itself. It takes effect where mnist_hil is in shared_preload_libraries.",
		&mnist_hil_shared_memory, SHARED_MEMORY_DEFAULT, SHARED_MEMORY_MIN, SHARED_MEMORY_MAX,
		process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);

	DefineCustomIntVariable(
		"mnist_hil.max_image_pixels", "Largest picture that is read, in pixels (width times height).",
		"A larger one is refused before it is decoded. Reading one takes up to two bytes of memory a pixel.",
		&mnist_hil_max_image_pixels, MAX_IMAGE_PIXELS_DEFAULT, MAX_IMAGE_PIXELS_MIN, MAX_IMAGE_PIXELS_MAX, PGC_SUSET,
		0, NULL, NULL, NULL);

	DefineCustomBoolVariable("mnist_hil.log_predictions", "Store what mnist_predict and mnist_predict_batch read.",
							 "When off, they store nothing and return a null id; such readings cannot be corrected.",
							 &mnist_hil_log_predictions, LOG_PREDICTIONS_DEFAULT, PGC_SUSET, 0, NULL, NULL, NULL);
}

static void
define_training(void)
{
	DefineCustomIntVariable(
		"mnist_hil.training_workers", "Processes that a training run uses, the trainer included.",
		"They are background workers; a run makes do with as many as max_worker_processes leaves free.",
		&mnist_hil_training_workers, TRAINING_WORKERS_DEFAULT, TRAINING_WORKERS_MIN, TRAINING_WORKERS_MAX, PGC_SUSET,
		0, NULL, NULL, NULL);

	DefineCustomIntVariable(
		"mnist_hil.training_memory", "Memory that a training run may use, over all its processes.",
		"A run that would need more is refused before it begins.", &mnist_hil_training_memory,
		TRAINING_MEMORY_DEFAULT, TRAINING_MEMORY_MIN, TRAINING_MEMORY_MAX, PGC_SUSET, GUC_UNIT_KB, NULL, NULL, NULL);

	DefineCustomIntVariable("mnist_hil.epochs", "Passes over the training images that a training run makes.",
							"Zero stands for the default of the strategy.", &mnist_hil_epochs, EPOCHS_DEFAULT,
							EPOCHS_MIN, EPOCHS_MAX, PGC_USERSET, 0, NULL, NULL, NULL);
}

static void
define_loop(void)
{
	/* read by mnist_hil_event() alone */
	DefineCustomBoolVariable("mnist_hil.notify", "Send a notification on channel mnist_hil with each event.",
							 "Every event is a row of mnist_event in any case. A transaction that has sent a"
							 " notification cannot be prepared for two-phase commit.",
							 &mnist_hil_notify, NOTIFY_DEFAULT, PGC_USERSET, 0, NULL, NULL, NULL);
}

void
settings_define(void)
{
	define_serving();
	define_training();
	define_loop();
	MarkGUCPrefixReserved("mnist_hil");
}
