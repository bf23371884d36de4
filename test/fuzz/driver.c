/*
 * driver.c: runs a libFuzzer target without libFuzzer, for gcc.
 *
 * It does not measure coverage: it mutates seeds at random until its time is over, which finds shallow mistakes.  The
 * interface is libFuzzer's, so the same targets run under clang -fsanitize=fuzzer, which finds deep ones.
 *
 *     fuzz_x [-max_total_time=SECONDS] [-max_len=BYTES] [-seed=N] [FILE|DIRECTORY ...]
 *
 * Every seed is first run once without changes, so a finding is repeated by giving its file alone.  The same -seed
 * gives the same inputs.  If the target crashes under AddressSanitizer, the input is written to ./crash-input.
 */
#include <dirent.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define DEFAULT_SECONDS 5
#define DEFAULT_MAX_LEN 65536

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
extern size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
extern size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
	__attribute__((weak));
extern void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

typedef struct Input
{
	uint8_t *data;
	size_t size;
} Input;

static Input *seeds;
static size_t nseeds;
static size_t max_len = DEFAULT_MAX_LEN;
static uint64_t state = 1;
static Input current; /* the target's current input, for the death callback */

/* SplitMix64 (Steele, Lea and Flood 2014) */
static uint64_t
next_random(void)
{
	uint64_t z = (state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* Uniform in [0, n); n > 0. */
static size_t
below(size_t n)
{
	return (size_t) (next_random() % n);
}

static void *
checked(void *memory)
{
	if (memory == NULL)
	{
		fprintf(stderr, "out of memory\n");
		exit(1);
	}
	return memory;
}

static void
save_crash(void)
{
	FILE *file = fopen("crash-input", "wb");

	if (file == NULL)
		return;
	fwrite(current.data, 1, current.size, file);
	fclose(file);
	fprintf(stderr, "the input, %zu bytes, is in crash-input\n", current.size);
}

static void
add_seed(const char *path)
{
	struct stat info;
	FILE *file;
	Input *seed;

	if (stat(path, &info) != 0)
	{
		perror(path);
		exit(1);
	}
	if (S_ISDIR(info.st_mode))
	{
		struct dirent *entry;
		DIR *directory = checked(opendir(path));

		while ((entry = readdir(directory)) != NULL)
		{
			char name[4096];

			if (entry->d_name[0] == '.')
				continue;
			snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
			add_seed(name);
		}
		closedir(directory);
		return;
	}

	seeds = checked(realloc(seeds, (nseeds + 1) * sizeof(Input)));
	seed = &seeds[nseeds++];
	seed->data = checked(malloc((size_t) info.st_size + 1));
	file = checked(fopen(path, "rb"));
	seed->size = fread(seed->data, 1, (size_t) info.st_size, file);
	fclose(file);
}

/* Give the target a copy of exactly that size, so that AddressSanitizer finds any access beyond it. */
static void
run(const uint8_t *data, size_t size)
{
	current.data = checked(malloc(size > 0 ? size : 1));
	current.size = size;
	if (size > 0)
		memcpy(current.data, data, size);
	LLVMFuzzerTestOneInput(current.data, size);
	free(current.data);
	current.data = NULL;
}

/* Make one random change; returns the new size. */
static size_t
mutate_once(uint8_t *data, size_t size, size_t max_size)
{
	static const uint8_t interesting[] = {0, 1, 7, 8, 16, 127, 128, 254, 255, ' ', '\n', '0', '9', '-'};
	size_t at;
	size_t n;

	if (size == 0)
	{
		if (max_size == 0)
			return 0;
		data[0] = (uint8_t) next_random();
		return 1;
	}
	at = below(size);
	switch (below(8))
	{
		case 0:
			data[at] ^= (uint8_t) (1u << below(8));
			return size;
		case 1:
			data[at] = (uint8_t) next_random();
			return size;
		case 2:
			data[at] = interesting[below(sizeof(interesting))];
			return size;
		case 3: /* write the same byte several times, which can make a length too large */
			n = 1 + below(8);
			memset(data + at, interesting[below(sizeof(interesting))], n < size - at ? n : size - at);
			return size;
		case 4: /* truncate */
			return at;
		case 5: /* delete a piece */
			n = 1 + below(size - at);
			memmove(data + at, data + at + n, size - at - n);
			return size - n;
		case 6: /* repeat a piece */
			n = 1 + below(size - at);
			if (size + n > max_size)
				return size;
			memmove(data + at + n, data + at, size - at);
			return size + n;
		default: /* overwrite a piece with one of another seed */
			if (nseeds > 0)
			{
				const Input *other = &seeds[below(nseeds)];
				size_t from;

				if (other->size == 0)
					return size;
				from = below(other->size);
				n = 1 + below(other->size - from);
				if (n > size - at)
					n = size - at;
				memcpy(data + at, other->data + from, n);
			}
			return size;
	}
}

size_t
LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size)
{
	size_t changes = 1 + below(4);

	while (changes-- > 0)
		size = mutate_once(data, size, max_size);
	return size;
}

int
main(int argc, char **argv)
{
	int64_t seconds = DEFAULT_SECONDS;
	uint64_t runs = 0;
	uint8_t *buffer;
	time_t end;

	for (int i = 1; i < argc; i++)
	{
		if (strncmp(argv[i], "-max_total_time=", 16) == 0)
			seconds = strtoll(argv[i] + 16, NULL, 10);
		else if (strncmp(argv[i], "-max_len=", 9) == 0)
			max_len = strtoul(argv[i] + 9, NULL, 10);
		else if (strncmp(argv[i], "-seed=", 6) == 0)
			state = strtoull(argv[i] + 6, NULL, 10);
		else if (argv[i][0] == '-')
		{
			fprintf(stderr, "unknown option: %s\n", argv[i]);
			return 2;
		}
		else
			add_seed(argv[i]);
	}
	if (__sanitizer_set_death_callback != NULL)
		__sanitizer_set_death_callback(save_crash);

	run(NULL, 0);
	for (size_t i = 0; i < nseeds; i++)
		run(seeds[i].data, seeds[i].size);

	buffer = checked(malloc(max_len > 0 ? max_len : 1));
	end = time(NULL) + seconds;
	while (time(NULL) < end)
	{
		size_t size = 0;

		if (nseeds > 0)
		{
			const Input *seed = &seeds[below(nseeds)];

			size = seed->size < max_len ? seed->size : max_len;
			memcpy(buffer, seed->data, size);
		}
		if (LLVMFuzzerCustomMutator != NULL && below(8) != 0)
			size = LLVMFuzzerCustomMutator(buffer, size, max_len, (unsigned int) next_random());
		else
			size = LLVMFuzzerMutate(buffer, size, max_len);
		run(buffer, size);
		runs++;
	}
	free(buffer);
	for (size_t i = 0; i < nseeds; i++)
		free(seeds[i].data);
	free(seeds);
	printf("%" PRIu64 " inputs from %zu seeds\n", runs, nseeds);
	return 0;
}
