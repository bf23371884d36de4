/*
 * ink.c: which pixels of an image are ink.
 *
 * People draw dark on light and light on dark, on opaque and on transparent canvases, and photograph paper that is
 * neither white nor even.  This file decides three questions, from histograms, in a few passes over the image:
 *
 * Transparency.  There are two cases.  If the transparent part is the background, opacity is the ink, whatever the
 * colours (a black pen, a white pen, a rainbow).  If the visible part is a sheet with something on it, the sheet is
 * continued under all transparent pixels.  The colour of fully transparent pixels never matters.
 *
 * Background and polarity.  The background's level is the median along the border.  Ink is darker or lighter than
 * that, on the side with the larger sum of squared deviations: few strong pixels outweigh many slightly uneven ones.
 *
 * Contrast.  Deviations as small as the background's unevenness become 0, and the level of full ink becomes 255.  The
 * unevenness is estimated by the median absolute deviation along the border, which is robust against ink that touches
 * the border.  An image that uses the full range already, like those of MNIST, keeps its levels.
 */
#include "image/ink.h"

#include <string.h>

#define LEVELS 256
#define MANY 4096	   /* bytes; with fewer, four sets of counters are not worth their setup */
#define BAND (1 << 20) /* bytes that are processed between two calls of poll */

#define RING_FRACTION 28  /* the border is a ring of 1/28 of the shorter side, at least one pixel */
#define NOISE_FACTOR 4	  /* unevenness of the background, in median absolute deviations */
#define MIN_CONTRAST 12	  /* levels between background and ink; with less the image is blank */
#define FULL_CONTRAST 224 /* an image without faint pixels that has a deviation this large is not stretched */
#define FAINT_FRACTION 6  /* deviations below 1/6 of full ink are faint, see cut_level */
#define INK_QUANTILE 0.95 /* this fraction of the squared deviation is at or below the level of full ink */

#define UNIFORM_SPREAD 48	/* visible levels within this range are one colour ... */
#define SPREAD_TAIL 5000	/* ... ignoring 1/5000 of the pixels at each end */
#define SHEET_FILL 0.6		/* a sheet fills at least this fraction of its bounding box ... */
#define SHEET_TOLERANCE 32	/* ... and levels this close to its median level ... */
#define SHEET_DOMINANCE 0.6 /* ... make up at least this fraction of it */

/* Counts of levels, or of distances from one; no image has 2^32 pixels. */
typedef uint32_t Histogram[LEVELS];

/* Are eight bytes equal?  On canvases they mostly are, and are then processed together. */
static inline bool
eight_alike(const uint8_t *bytes)
{
	uint64_t eight;

	memcpy(&eight, bytes, 8);
	return eight == bytes[0] * UINT64_C(0x0101010101010101);
}

/* Add the levels of n bytes to four histograms in turn. */
static inline void
count_in_turn(Histogram *const counts[4], const uint8_t *values, size_t n)
{
	size_t i = 0;

	for (; i + 8 <= n; i += 8)
	{
		if (eight_alike(values + i))
			(*counts[0])[values[i]] += 8;
		else
			for (int k = 0; k < 8; k++)
				(*counts[k % 4])[values[i + k]]++;
	}
	for (; i < n; i++)
		(*counts[0])[values[i]]++;
}

/* The bytes of the band of n bytes that begins at start. */
static inline size_t
band(size_t n, size_t start)
{
	return n - start < BAND ? n - start : BAND;
}

/*
 * Add the levels of n bytes to counts.  Neighbours are often equal, and incrementing a counter must wait for the
 * previous increment of the same counter.  So for many bytes four sets of counters are used in turn.
 */
static void
count_levels(Histogram counts, const uint8_t *values, size_t n, const ImageAllocator *allocator)
{
	Histogram more[3];

	if (n < MANY)
	{
		count_in_turn((Histogram *const[]){(Histogram *) counts, (Histogram *) counts, (Histogram *) counts,
										   (Histogram *) counts},
					  values, n);
		return;
	}
	memset(more, 0, sizeof(more));
	for (size_t start = 0; start < n; start += BAND)
	{
		image_poll(allocator);
		count_in_turn((Histogram *const[]){(Histogram *) counts, &more[0], &more[1], &more[2]}, values + start,
					  band(n, start));
	}
	for (int v = 0; v < LEVELS; v++)
		counts[v] += more[0][v] + more[1][v] + more[2][v];
}

/* Replace the levels of the n bytes of a band. */
static void
map_band(const uint8_t map[LEVELS], uint8_t *values, size_t n)
{
	size_t i = 0;

	for (; i + 8 <= n; i += 8)
	{
		if (eight_alike(values + i))
			memset(values + i, map[values[i]], 8);
		else
			for (int k = 0; k < 8; k++)
				values[i + k] = map[values[i + k]];
	}
	for (; i < n; i++)
		values[i] = map[values[i]];
}

/* Replace the levels of n bytes. */
static void
map_levels(const uint8_t map[LEVELS], uint8_t *values, size_t n, const ImageAllocator *allocator)
{
	for (size_t start = 0; start < n; start += BAND)
	{
		image_poll(allocator);
		map_band(map, values + start, band(n, start));
	}
}

/* The smallest level at or below which more than rank of the counted values lie. */
static int
level_at_rank(const Histogram counts, uint64_t rank)
{
	uint64_t below = 0;

	for (int v = 0; v < LEVELS - 1; v++)
	{
		below += counts[v];
		if (below > rank)
			return v;
	}
	return LEVELS - 1;
}

static uint64_t
total(const Histogram counts)
{
	uint64_t sum = 0;

	for (int v = 0; v < LEVELS; v++)
		sum += counts[v];
	return sum;
}

static int
median(const Histogram counts)
{
	return level_at_rank(counts, total(counts) / 2);
}

/* Median of the distances from center. */
static int
median_deviation(const Histogram counts, int center)
{
	Histogram distance = {0};

	for (int v = 0; v < LEVELS; v++)
		distance[v < center ? center - v : v - center] += counts[v];
	return median(distance);
}

/* The visible part of an image with transparency. */
typedef struct Visible
{
	Histogram levels; /* of the pixels that are at least a quarter as opaque as the most opaque */
	uint64_t count;
	int left, right, top, bottom; /* their bounding box, inclusive */
} Visible;

static void
survey_visible(Visible *visible, const uint8_t *gray, const uint8_t *alpha, int width, int height, int threshold,
			   const ImageAllocator *allocator)
{
	memset(visible, 0, sizeof(*visible));
	visible->left = width;
	visible->right = -1;
	visible->top = height;
	visible->bottom = -1;
	for (int y = 0; y < height; y++)
	{
		const uint8_t *a = alpha + (size_t) y * width;
		const uint8_t *g = gray + (size_t) y * width;
		int first = -1;
		int last = -1;
		int x = 0;

		image_poll(allocator);
		while (x < width)
		{
			uint64_t eight;

			/* skip fully transparent pixels */
			if (x + 8 <= width && (memcpy(&eight, a + x, 8), eight == 0))
			{
				x += 8;
				continue;
			}
			if (a[x] >= threshold)
			{
				visible->levels[g[x]]++;
				if (first < 0)
					first = x;
				last = x;
			}
			x++;
		}
		if (first < 0)
			continue;
		if (visible->top > y)
			visible->top = y;
		visible->bottom = y;
		if (visible->left > first)
			visible->left = first;
		if (visible->right < last)
			visible->right = last;
	}
	visible->count = total(visible->levels);
}

/* Is the visible part a sheet of one colour with something of another colour on it? */
static bool
is_sheet(const Visible *visible)
{
	uint64_t tail = visible->count / SPREAD_TAIL;
	int lowest = level_at_rank(visible->levels, tail);
	int highest = level_at_rank(visible->levels, visible->count - 1 - tail);
	double area = ((double) visible->right - visible->left + 1) * ((double) visible->bottom - visible->top + 1);
	int middle = median(visible->levels);
	uint64_t common = 0;

	if (highest - lowest <= UNIFORM_SPREAD)
		return false;
	for (int v = 0; v < LEVELS; v++)
		if (v >= middle - SHEET_TOLERANCE && v <= middle + SHEET_TOLERANCE)
			common += visible->levels[v];
	return (double) visible->count >= SHEET_FILL * area &&
		   (double) common >= SHEET_DOMINANCE * (double) visible->count;
}

/* Make an image with transparency opaque. */
static void
compose(uint8_t *gray, const uint8_t *alpha, int width, int height, const ImageAllocator *allocator)
{
	size_t n = (size_t) width * height;
	Histogram opacities = {0};
	Visible visible;
	int least;
	int most;

	count_levels(opacities, alpha, n, allocator);
	least = level_at_rank(opacities, 0);
	most = level_at_rank(opacities, n - 1);
	if (most == 0)
	{
		memset(gray, 0, n);
		return;
	}
	/* evenly translucent: treat it as opaque */
	if (least * 10 >= most * 9)
		return;

	survey_visible(&visible, gray, alpha, width, height, (most + 3) / 4, allocator);
	if (is_sheet(&visible))
	{
		int backdrop = median(visible.levels);

		for (size_t start = 0; start < n; start += BAND)
		{
			image_poll(allocator);
			for (size_t i = start; i < start + band(n, start); i++)
				gray[i] = (uint8_t) ((gray[i] * alpha[i] + backdrop * (255 - alpha[i]) + 127) / 255);
		}
	}
	else
		memcpy(gray, alpha, n);
}

/* Count the levels along the border. */
static void
count_border(Histogram counts, const uint8_t *gray, int width, int height, const ImageAllocator *allocator)
{
	int shorter = width < height ? width : height;
	int ring = shorter / RING_FRACTION > 1 ? shorter / RING_FRACTION : 1;

	for (int y = 0; y < height; y++)
	{
		const uint8_t *row = gray + (size_t) y * width;

		if (y < ring || y >= height - ring || width <= 2 * ring)
			count_levels(counts, row, (size_t) width, allocator);
		else
			for (int x = 0; x < ring; x++)
			{
				counts[row[x]]++;
				counts[row[width - 1 - x]]++;
			}
	}
}

/* The sum of count times squared deviation over deviations above noise, up to most. */
static uint64_t
power(const Histogram deviations, int noise, int most)
{
	uint64_t sum = 0;

	for (int d = noise + 1; d <= most; d++)
		sum += (uint64_t) deviations[d] * (uint32_t) (d * d);
	return sum;
}

/* The deviation that counts as full ink, given the power of all deviations. */
static int
full_ink(const Histogram deviations, int noise, uint64_t all)
{
	uint64_t limit = (uint64_t) (INK_QUANTILE * (double) all);
	uint64_t sum = 0;
	int d;

	for (d = noise + 1; d < LEVELS - 1; d++)
	{
		sum += (uint64_t) deviations[d] * (uint32_t) (d * d);
		if (sum >= limit)
			break;
	}
	return d;
}

/*
 * The deviation up to which pixels are background.  Lossy compression leaves a halo around strokes, which the border
 * does not show.  If there are more than twice as many faint pixels as solid ones, the faint ones are such a halo.
 */
static int
cut_level(const Histogram deviations, int noise, int full)
{
	uint64_t faint = 0;
	uint64_t solid = 0;
	int limit = full / FAINT_FRACTION;

	for (int d = noise + 1; d <= limit; d++)
		faint += deviations[d];
	for (int d = full / 2; d < LEVELS; d++)
		solid += deviations[d];
	return faint > 2 * solid && limit > noise ? limit : noise;
}

/* How to turn levels into ink. */
typedef struct Contrast
{
	int background; /* its level */
	bool inverted;	/* ink is darker than the background */
	int cut;		/* deviations up to here are background */
	int full;		/* deviations from here on are full ink; 0: there is no ink */
} Contrast;

static Contrast
find_contrast(const Histogram levels, const Histogram border)
{
	Contrast contrast = {0};
	Histogram darker = {0};
	Histogram lighter = {0};
	const uint32_t *deviations;
	int noise;
	int strongest;
	uint64_t dark;
	uint64_t light;

	contrast.background = median(border);
	noise = NOISE_FACTOR * median_deviation(border, contrast.background);
	if (noise > LEVELS - 2)
		noise = LEVELS - 2;
	for (int v = 0; v < contrast.background; v++)
		darker[contrast.background - v] = levels[v];
	for (int v = contrast.background + 1; v < LEVELS; v++)
		lighter[v - contrast.background] = levels[v];
	dark = power(darker, noise, contrast.background);
	light = power(lighter, noise, LEVELS - 1 - contrast.background);
	if (dark == 0 && light == 0)
	{
		contrast.inverted = contrast.background >= LEVELS / 2;
		return contrast;
	}
	contrast.inverted = dark > light;
	deviations = contrast.inverted ? darker : lighter;
	contrast.full = full_ink(deviations, noise, contrast.inverted ? dark : light);
	if (contrast.full < MIN_CONTRAST || contrast.full < 2 * noise)
	{
		contrast.full = 0;
		return contrast;
	}
	contrast.cut = cut_level(deviations, noise, contrast.full);
	for (strongest = LEVELS - 1; deviations[strongest] == 0; strongest--)
		;
	if (contrast.cut == 0 && strongest >= FULL_CONTRAST)
		contrast.full = 255;
	return contrast;
}

bool
image_separate_ink(uint8_t *gray, const uint8_t *alpha, int width, int height, const ImageAllocator *allocator)
{
	size_t n = (size_t) width * height;
	Histogram levels = {0};
	Histogram border = {0};
	Contrast contrast;
	uint8_t map[LEVELS];

	if (alpha != NULL)
		compose(gray, alpha, width, height, allocator);
	count_levels(levels, gray, n, allocator);
	count_border(border, gray, width, height, allocator);
	contrast = find_contrast(levels, border);
	if (contrast.full == 0)
	{
		memset(gray, 0, n);
		return contrast.inverted;
	}
	if (contrast.background == 0 && contrast.cut == 0 && contrast.full == 255)
		return false; /* nothing to change */
	for (int v = 0; v < LEVELS; v++)
	{
		int d = contrast.inverted ? contrast.background - v : v - contrast.background;
		int range = contrast.full - contrast.cut;

		map[v] = (uint8_t) (d <= contrast.cut	 ? 0
							: d >= contrast.full ? 255
												 : ((d - contrast.cut) * 255 + range / 2) / range);
	}
	map_levels(map, gray, n, allocator);
	return contrast.inverted;
}
