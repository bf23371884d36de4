/*
 * options.c: the options of a run: all hyperparameters, in one table, and the study.
 *
 * The defaults of each strategy were found by experiment.  A call of mnist_retrain changes only those that it names.
 * The values used are recorded in mnist_run.parameters, from which mnist_reproduce repeats a run.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "pg/errors.h"
#include "train/options.h"

/* The size of a search's trial: a fraction of MNIST, but enough images to tell good hyperparameters from bad ones. */
#define TRIAL_EPOCHS_DEFAULT 1
#define TRIAL_IMAGES_DEFAULT 12800

static const char *const strategy_names[] = {
	[TRAINING_FINE_TUNE] = "fine_tune",
	[TRAINING_FROM_SCRATCH] = "from_scratch",
};

static const Hyperparameters strategy_defaults[] = {
	[TRAINING_FINE_TUNE] =
		{
			.strategy = TRAINING_FINE_TUNE,
			.epochs = 6,
			.batch_size = 128,
			.epoch_images = 12800,
			.learning_rate = 2e-3f,
			.warmup = 0.1f,
			.beta1 = 0.9f,
			.beta2 = 0.999f,
			.weight_decay = 0.0f,
			.frozen_stats = true,
			.stats_momentum = 0.0f,
			.average_decay = 0.998f,
			.label_smoothing = 0.0f,
			.distillation = 0.9f,
			.plain_share = 0.5f,
			.feedback_share = 0.1f,
			.feedback_repeats = 8,
			.augmentation = 1.0f,
			.augment = {.rotate = 10.0f,
						.scale = 0.1f,
						.shear = 0.1f,
						.translate = 1.0f,
						.elastic_alpha = 1.0f,
						.elastic_sigma = 4.0f},
		},
	[TRAINING_FROM_SCRATCH] =
		{
			.strategy = TRAINING_FROM_SCRATCH,
			.epochs = 16,
			.batch_size = 128,
			.epoch_images = 0,
			.learning_rate = 3e-3f,
			.warmup = 0.2f,
			.beta1 = 0.9f,
			.beta2 = 0.999f,
			.weight_decay = 5e-2f,
			.stats_momentum = 0.1f,
			.average_decay = 0.999f,
			.label_smoothing = 0.0f,
			.distillation = 0.0f,
			.plain_share = 0.0f,
			.feedback_share = 0.2f,
			.feedback_repeats = 4,
			.augmentation = 1.0f,
			.augment = {.rotate = 12.0f,
						.scale = 0.12f,
						.shear = 0.12f,
						.translate = 1.2f,
						.elastic_alpha = 1.2f,
						.elastic_sigma = 5.0f},
		},
};

void
hyperparameters_init(Hyperparameters *hyper, TrainingStrategy strategy)
{
	*hyper = strategy_defaults[strategy];
}

void
hyperparameters_augment(Hyperparameters *hyper, float strength)
{
	hyper->augmentation *= strength;
	nn_augment_scale(&hyper->augment, strength);
}

void
training_study_init(TrainingStudy *study)
{
	memset(study, 0, sizeof(*study));
	study->trial_epochs = TRIAL_EPOCHS_DEFAULT;
	study->trial_images = TRIAL_IMAGES_DEFAULT;
}

void
training_study_add(TrainingStudy *study, const char *text)
{
	TrainingArchitecture *architecture = &study->architectures[study->narchitectures];
	NnNet net;

	if (study->narchitectures == TRAINING_MAX_ARCHITECTURES)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("a run trains at most %d architectures", TRAINING_MAX_ARCHITECTURES)));
	nn_parse(&net, text);
	nn_net_format(&net, architecture->network, sizeof(architecture->network));
	strlcpy(architecture->name, nn_preset(text) != NULL ? text : architecture->network, sizeof(architecture->name));
	for (int i = 0; i < study->narchitectures; i++)
		if (strcmp(study->architectures[i].network, architecture->network) == 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("architecture \"%s\" is given twice", architecture->name)));
	study->narchitectures++;
}

const char *
training_strategy_name(TrainingStrategy strategy)
{
	return strategy_names[strategy];
}

TrainingStrategy
training_strategy_parse(const char *name)
{
	for (int i = 0; i < (int) lengthof(strategy_names); i++)
		if (strcmp(name, strategy_names[i]) == 0)
			return (TrainingStrategy) i;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("there is no training strategy \"%s\"", name),
					errhint("The strategies are \"fine_tune\", \"from_scratch\" and \"auto\".")));
}

/* A hyperparameter: its name in JSON, its type, and its place in the struct. */
typedef enum FieldType
{
	FIELD_INT,
	FIELD_FLOAT,
	FIELD_BOOL
} FieldType;

typedef struct Field
{
	const char *name;
	FieldType type;
	Size offset;
} Field;

#define FIELD(type, name)                                    \
	{                                                        \
#name, FIELD_##type, offsetof(Hyperparameters, name) \
	}
#define AUGMENT_FIELD(name)                                         \
	{                                                               \
#name, FIELD_FLOAT, offsetof(Hyperparameters, augment.name) \
	}

static const Field fields[] = {
	FIELD(INT, epochs),			  FIELD(INT, batch_size),	   FIELD(INT, epoch_images),
	FIELD(FLOAT, learning_rate),  FIELD(FLOAT, warmup),		   FIELD(FLOAT, beta1),
	FIELD(FLOAT, beta2),		  FIELD(FLOAT, weight_decay),  FIELD(BOOL, frozen_stats),
	FIELD(FLOAT, stats_momentum), FIELD(FLOAT, average_decay), FIELD(FLOAT, label_smoothing),
	FIELD(FLOAT, distillation),	  FIELD(FLOAT, plain_share),   FIELD(FLOAT, feedback_share),
	FIELD(INT, feedback_repeats), AUGMENT_FIELD(rotate),	   AUGMENT_FIELD(scale),
	AUGMENT_FIELD(shear),		  AUGMENT_FIELD(translate),	   AUGMENT_FIELD(elastic_alpha),
	AUGMENT_FIELD(elastic_sigma), FIELD(FLOAT, augmentation),  FIELD(INT, stop_epoch),
	FIELD(BOOL, promote),
};

char *
hyperparameters_json(const Hyperparameters *hyper)
{
	Json json;

	json_begin(&json);
	json_text(&json, "network", hyper->network);
	for (int i = 0; i < (int) lengthof(fields); i++)
	{
		const void *field = (const char *) hyper + fields[i].offset;

		switch (fields[i].type)
		{
			case FIELD_INT:
				json_int(&json, fields[i].name, *(const int *) field);
				break;
			case FIELD_FLOAT:
				json_float(&json, fields[i].name, *(const float *) field);
				break;
			case FIELD_BOOL:
				json_bool(&json, fields[i].name, *(const bool *) field);
				break;
		}
	}
	return json_end(&json);
}

bool
hyperparameters_set(Hyperparameters *hyper, const char *name, const char *value)
{
	if (strcmp(name, "network") == 0)
		return strlcpy(hyper->network, value, sizeof(hyper->network)) < sizeof(hyper->network);
	for (int i = 0; i < (int) lengthof(fields); i++)
	{
		void *field = (char *) hyper + fields[i].offset;

		if (strcmp(name, fields[i].name) != 0)
			continue;
		switch (fields[i].type)
		{
			case FIELD_INT:
				*(int *) field = pg_strtoint32(value);
				break;
			case FIELD_FLOAT:
				*(float *) field = strtof(value, NULL); /* JSON has the shortest decimal that gives the same float */
				break;
			case FIELD_BOOL:
				*(bool *) field = strcmp(value, "true") == 0;
				break;
		}
		return true;
	}
	return false;
}

void
orders_add_datasets(SpiParameters *parameters, const TrainingOrders *orders)
{
	if (orders->ndatasets > 0)
		spi_add_int4_array(parameters, orders->dataset_ids, orders->ndatasets);
	else
		spi_add_null(parameters, INT4ARRAYOID);
}

char *
training_study_json(const TrainingStudy *study, const Hyperparameters *hyper)
{
	Json json;

	if (!training_has_trials(study))
		return NULL;
	json_begin(&json);
	json_int(&json, "trials", study->trials > 0 ? study->trials : study->narchitectures);
	json_bool(&json, "search", study->trials > 0);
	if (study->trials > 0)
	{
		json_int(&json, "trial_epochs", study->trial_epochs);
		json_int(&json, "trial_images", study->trial_images);
	}
	json_bool(&json, "fixed_learning_rate", study->fixed_learning_rate);
	json_bool(&json, "fixed_batch_size", study->fixed_batch_size);
	json_bool(&json, "fixed_augmentation", study->fixed_augmentation);
	json_open_array(&json, "architectures");
	for (int i = 0; i < study->narchitectures; i++)
		json_text(&json, NULL, study->architectures[i].name);
	json_close_array(&json);
	json_raw(&json, "options", hyperparameters_json(hyper));
	return json_end(&json);
}
