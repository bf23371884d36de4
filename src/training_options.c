/*
 * training_options.c: every hyperparameter of training, in one table.
 *
 * A strategy's row is what was found by experiment to work for it; a call of mnist_retrain changes only what
 * it names. The values as used are recorded in mnist_run.parameters, from where a run can be done again.
 */
#include "training.h"

#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"

/* A search's trial: enough images to tell good from bad, a fraction of MNIST. */
#define TRIAL_EPOCHS_DEFAULT 1
#define TRIAL_IMAGES_DEFAULT 12800

static const char *const strategy_names[] = {
	[TRAINING_FINE_TUNE] = "fine_tune",
	[TRAINING_FROM_SCRATCH] = "from_scratch",
};

static const TrainingOptions strategy_defaults[] = {
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
			.augment = {.rotate = 12.0f,
						.scale = 0.12f,
						.shear = 0.12f,
						.translate = 1.2f,
						.elastic_alpha = 1.2f,
						.elastic_sigma = 5.0f},
		},
};

void
training_options_init(TrainingOptions *options, TrainingStrategy strategy)
{
	*options = strategy_defaults[strategy];
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
	NnError error;

	if (study->narchitectures == TRAINING_MAX_ARCHITECTURES)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("a run trains at most %d architectures", TRAINING_MAX_ARCHITECTURES)));
	if (nn_net_parse(&net, text, strlen(text), &error) != NN_OK)
		nn_throw(&error);
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

/* What a hyperparameter is called in JSON, and where it lies. */
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
#name, FIELD_##type, offsetof(TrainingOptions, name) \
	}
#define AUGMENT_FIELD(name)                                         \
	{                                                               \
#name, FIELD_FLOAT, offsetof(TrainingOptions, augment.name) \
	}

static const Field fields[] = {
	FIELD(INT, epochs),			  FIELD(INT, batch_size),	   FIELD(INT, epoch_images),
	FIELD(FLOAT, learning_rate),  FIELD(FLOAT, warmup),		   FIELD(FLOAT, beta1),
	FIELD(FLOAT, beta2),		  FIELD(FLOAT, weight_decay),  FIELD(BOOL, frozen_stats),
	FIELD(FLOAT, stats_momentum), FIELD(FLOAT, average_decay), FIELD(FLOAT, label_smoothing),
	FIELD(FLOAT, distillation),	  FIELD(FLOAT, plain_share),   FIELD(FLOAT, feedback_share),
	FIELD(INT, feedback_repeats), AUGMENT_FIELD(rotate),	   AUGMENT_FIELD(scale),
	AUGMENT_FIELD(shear),		  AUGMENT_FIELD(translate),	   AUGMENT_FIELD(elastic_alpha),
	AUGMENT_FIELD(elastic_sigma), FIELD(BOOL, promote),
};

char *
training_options_json(const TrainingOptions *options)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoString(&json, "{\"network\": ");
	escape_json(&json, options->network);
	for (int i = 0; i < (int) lengthof(fields); i++)
	{
		const void *field = (const char *) options + fields[i].offset;
		char digits[FLOAT_SHORTEST_DECIMAL_LEN];

		appendStringInfo(&json, ", \"%s\": ", fields[i].name);
		switch (fields[i].type)
		{
			case FIELD_INT:
				appendStringInfo(&json, "%d", *(const int *) field);
				break;
			case FIELD_FLOAT:
				float_to_shortest_decimal_buf(*(const float *) field, digits);
				appendStringInfoString(&json, digits);
				break;
			case FIELD_BOOL:
				appendStringInfoString(&json, *(const bool *) field ? "true" : "false");
				break;
		}
	}
	appendStringInfoChar(&json, '}');
	return json.data;
}

bool
training_options_set(TrainingOptions *options, const char *name, const char *value)
{
	if (strcmp(name, "network") == 0)
		return strlcpy(options->network, value, sizeof(options->network)) < sizeof(options->network);
	for (int i = 0; i < (int) lengthof(fields); i++)
	{
		void *field = (char *) options + fields[i].offset;

		if (strcmp(name, fields[i].name) != 0)
			continue;
		switch (fields[i].type)
		{
			case FIELD_INT:
				*(int *) field = pg_strtoint32(value);
				break;
			case FIELD_FLOAT:
				*(float *) field = strtof(value, NULL); /* the shortest decimal gives back the very float */
				break;
			case FIELD_BOOL:
				*(bool *) field = strcmp(value, "true") == 0;
				break;
		}
		return true;
	}
	return false;
}

Datum
training_options_datasets(const TrainingOptions *options, bool *isnull)
{
	Datum ids[TRAINING_MAX_DATASETS];

	*isnull = options->ndatasets == 0;
	for (int i = 0; i < options->ndatasets; i++)
		ids[i] = Int32GetDatum(options->dataset_ids[i]);
	return PointerGetDatum(construct_array(ids, options->ndatasets, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}
