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
#include "utils/json.h"

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
					errhint("The strategies are \"fine_tune\" and \"from_scratch\".")));
}

static void
append_float(StringInfo json, const char *name, float value)
{
	char digits[FLOAT_SHORTEST_DECIMAL_LEN];

	float_to_shortest_decimal_buf(value, digits);
	appendStringInfo(json, ", \"%s\": %s", name, digits);
}

char *
training_options_json(const TrainingOptions *options)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoString(&json, "{\"network\": ");
	escape_json(&json, options->network);
	appendStringInfo(&json, ", \"epochs\": %d", options->epochs);
	appendStringInfo(&json, ", \"batch_size\": %d", options->batch_size);
	appendStringInfo(&json, ", \"epoch_images\": %d", options->epoch_images);
	append_float(&json, "learning_rate", options->learning_rate);
	append_float(&json, "warmup", options->warmup);
	append_float(&json, "beta1", options->beta1);
	append_float(&json, "beta2", options->beta2);
	append_float(&json, "weight_decay", options->weight_decay);
	appendStringInfo(&json, ", \"frozen_stats\": %s", options->frozen_stats ? "true" : "false");
	append_float(&json, "stats_momentum", options->stats_momentum);
	append_float(&json, "average_decay", options->average_decay);
	append_float(&json, "label_smoothing", options->label_smoothing);
	append_float(&json, "distillation", options->distillation);
	append_float(&json, "plain_share", options->plain_share);
	append_float(&json, "feedback_share", options->feedback_share);
	appendStringInfo(&json, ", \"feedback_repeats\": %d", options->feedback_repeats);
	append_float(&json, "rotate", options->augment.rotate);
	append_float(&json, "scale", options->augment.scale);
	append_float(&json, "shear", options->augment.shear);
	append_float(&json, "translate", options->augment.translate);
	append_float(&json, "elastic_alpha", options->augment.elastic_alpha);
	append_float(&json, "elastic_sigma", options->augment.elastic_sigma);
	appendStringInfo(&json, ", \"promote\": %s}", options->promote ? "true" : "false");
	return json.data;
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
