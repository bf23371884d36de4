/*
 * preprocess.c: ink to MNIST's form.
 *
 * MNIST's images were made by fitting each digit into a box of 20 x 20, keeping its proportions, and placing
 * that box so that its centre of mass is at the centre of 28 x 28 (LeCun et al. 1998).  Measured on all 70,000
 * images: the longer side of the ink's box is 20 (19 in a handful), and the centre of mass is in [13.5, 14.5) along
 * both axes, where the first pixel's centre is 0.  So the box was moved by whole pixels.  This file does the same.
 * Ink whose box has the right size already is only moved.  So it is not blurred, and applying the conversion twice
 * gives the same as applying it once.
 *
 * Specks.  The ink is summed on a coarse grid of at most 64 x 64 cells (in small images a cell is a pixel).  Cells
 * with enough ink are joined to components.  Components with a negligible fraction of all ink are specks: they do
 * not widen the box and are left out of the result.
 */
#include "image/preprocess.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BOX_SIDE 20		 /* the longer side of the ink's box */
#define BOX_SIDE_MIN 19	 /* a box with this longer side is not scaled, either */
#define CENTER2 27		 /* twice the smallest coordinate that the centre of mass may have */
#define TIE_TOLERANCE 64 /* tolerance for rounding: 1/64 of half a pixel */

#define GRID_SIDE 64
#define SPECK_FRACTION 0.02 /* a component with a smaller fraction of all ink is a speck */
#define REACH 2				/* components may have gaps of one cell */
#define EDGE_CELLS 2		/* cells around a component that are kept with it */
#define NOISE_FRACTION 0.01 /* if specks are more than this fraction of all ink, ... */
#define NOISE_EDGE 64		/* ... pixels fainter than this do not widen the box */
#define SOLID_QUANTILE 0.8	/* see stretch */

typedef struct Box
{
	int left, right, top, bottom; /* inclusive; right < left: empty */
} Box;

/* A set of cells has a word for each row, with a bit for each column. */
typedef struct Grid
{
	int cell; /* pixels along a cell's side */
	int columns, rows;
	uint64_t dropped; /* ink outside the kept cells */
	int edge;		  /* pixels fainter than this do not widen the box */
	uint32_t mass[GRID_SIDE][GRID_SIDE];
	uint64_t kept[GRID_SIDE];
} Grid;

static const Box empty_box = {INT32_MAX, -1, INT32_MAX, -1};

static void
widen(Box *box, int left, int right, int y)
{
	if (box->left > left)
		box->left = left;
	if (box->right < right)
		box->right = right;
	if (box->top > y)
		box->top = y;
	if (box->bottom < y)
		box->bottom = y;
}

static int
box_width(const Box *box)
{
	return box->right - box->left + 1;
}

static int
box_height(const Box *box)
{
	return box->bottom - box->top + 1;
}

/* Widen box by the pixels of row from left to right (inclusive) that have at least the given ink. */
static void
widen_by_row(Box *box, const uint8_t *row, int left, int right, int y, int threshold)
{
	int first = left;
	int last = right;

	while (first <= right && row[first] < threshold)
		first++;
	if (first > right)
		return;
	while (row[last] < threshold)
		last--;
	widen(box, first, last, y);
}

/* The position in IMAGE_SIDE at which to place "size" columns or rows with these masses, so that they are centred. */
static int
centered_offset(const uint32_t *masses, int size)
{
	int64_t total = 0;
	int64_t moment = 0;
	int64_t need;
	int offset;

	for (int i = 0; i < size; i++)
	{
		total += masses[i];
		moment += (int64_t) masses[i] * i;
	}
	/* the smallest offset with moment / total + offset >= CENTER2 / 2 */
	need = CENTER2 * total - 2 * moment;
	offset = (int) (need > 0 ? (need + 2 * total - 1) / (2 * total) : 0);
	return offset > IMAGE_SIDE - size ? IMAGE_SIDE - size : offset;
}

/* Are columns or rows at this offset centred?  If the centre of mass is just between two offsets, both are right. */
static bool
is_centered(const uint32_t *masses, int size, int offset)
{
	int64_t total = 0;
	int64_t moment = 0;

	for (int i = 0; i < size; i++)
	{
		total += masses[i];
		moment += (int64_t) masses[i] * (i + offset);
	}
	return centered_offset(masses, size) == offset ||
		   llabs(2 * moment - (CENTER2 + 1) * total) <= total + total / TIE_TOLERANCE;
}

/* Put an image of at most BOX_SIDE x BOX_SIDE into pixels with its centre of mass at the centre. */
static void
place(const uint8_t *small, int width, int height, uint8_t pixels[IMAGE_PIXELS])
{
	uint32_t columns[BOX_SIDE] = {0};
	uint32_t rows[BOX_SIDE] = {0};
	int left;
	int top;

	for (int y = 0; y < height; y++)
		for (int x = 0; x < width; x++)
		{
			columns[x] += small[y * width + x];
			rows[y] += small[y * width + x];
		}
	left = centered_offset(columns, width);
	top = centered_offset(rows, height);
	memset(pixels, 0, IMAGE_PIXELS);
	for (int y = 0; y < height; y++)
		memcpy(pixels + (top + y) * IMAGE_SIDE + left, small + y * width, (size_t) width);
}

/* Is an image of 28 x 28 in MNIST's form? */
static bool
is_mnist(const uint8_t *pixels)
{
	Box box = empty_box;
	uint32_t columns[IMAGE_SIDE] = {0};
	uint32_t rows[IMAGE_SIDE] = {0};
	int width;
	int height;

	for (int y = 0; y < IMAGE_SIDE; y++)
	{
		widen_by_row(&box, pixels + y * IMAGE_SIDE, 0, IMAGE_SIDE - 1, y, 1);
		for (int x = 0; x < IMAGE_SIDE; x++)
		{
			columns[x] += pixels[y * IMAGE_SIDE + x];
			rows[y] += pixels[y * IMAGE_SIDE + x];
		}
	}
	width = box_width(&box);
	height = box_height(&box);
	if (width > BOX_SIDE || height > BOX_SIDE || (width < BOX_SIDE_MIN && height < BOX_SIDE_MIN))
		return false;
	return is_centered(columns + box.left, width, box.left) && is_centered(rows + box.top, height, box.top);
}

/* ---- specks ---- */

/* The first pixel of a row with ink, or width. */
static int
first_ink(const uint8_t *row, int width)
{
	int x = 0;
	uint64_t eight;

	while (x + 8 <= width && (memcpy(&eight, row + x, 8), eight == 0))
		x += 8;
	while (x < width && row[x] == 0)
		x++;
	return x;
}

/* The index after the last pixel of a row with ink; the row must have one. */
static int
end_of_ink(const uint8_t *row, int width)
{
	uint64_t eight;

	while (width >= 8 && (memcpy(&eight, row + width - 8, 8), eight == 0))
		width -= 8;
	while (row[width - 1] == 0)
		width--;
	return width;
}

/* Sum the ink of each cell; returns the total. */
static uint64_t
fill_grid(Grid *grid, const ImageInk *image, const ImageAllocator *allocator)
{
	int longer = image->width > image->height ? image->width : image->height;
	uint64_t total = 0;

	grid->cell = (longer + GRID_SIDE - 1) / GRID_SIDE;
	grid->columns = (image->width + grid->cell - 1) / grid->cell;
	grid->rows = (image->height + grid->cell - 1) / grid->cell;
	memset(grid->mass, 0, sizeof(grid->mass));
	for (int y = 0; y < image->height; y++)
	{
		const uint8_t *row = image->ink + (size_t) y * image->width;
		uint32_t *mass = grid->mass[y / grid->cell];
		int x = first_ink(row, image->width);
		int end = x < image->width ? end_of_ink(row, image->width) : 0;

		image_poll(allocator);
		for (int column = x / grid->cell; x < end; column++)
		{
			int stop = (column + 1) * grid->cell < end ? (column + 1) * grid->cell : end;
			uint32_t sum = 0;

			for (; x < stop; x++)
				sum += row[x];
			mass[column] += sum;
			total += sum;
		}
	}
	return total;
}

/* These columns and those within reach of them. */
static uint64_t
spread(uint64_t columns, int reach)
{
	for (; reach > 0; reach--)
		columns |= columns << 1 | columns >> 1;
	return columns;
}

/* Grow a component's row by the inked cells within reach of the component; returns whether it grew. */
static bool
grow_row(uint64_t component[GRID_SIDE], const uint64_t inked[GRID_SIDE], int row)
{
	uint64_t before = component[row];
	uint64_t around = 0;
	uint64_t grown;

	for (int r = row > REACH ? row - REACH : 0; r <= row + REACH && r < GRID_SIDE; r++)
		around |= component[r];
	for (grown = spread(around, REACH) & inked[row]; grown != component[row];
		 grown = spread(component[row], REACH) & inked[row])
		component[row] = grown;
	return component[row] != before;
}

/* Grow a component of one cell to all inked cells that are connected with it. */
static void
grow(uint64_t component[GRID_SIDE], const uint64_t inked[GRID_SIDE])
{
	bool grown;

	do
	{
		grown = false;
		for (int row = 0; row < GRID_SIDE; row++)
			grown |= inked[row] != 0 && grow_row(component, inked, row);
		for (int row = GRID_SIDE - 1; row >= 0; row--)
			grown |= inked[row] != 0 && grow_row(component, inked, row);
	} while (grown);
}

/* The ink in the cells of a set. */
static uint64_t
mass_of(const Grid *grid, const uint64_t cells[GRID_SIDE])
{
	uint64_t mass = 0;

	for (int row = 0; row < grid->rows; row++)
		for (int column = 0; cells[row] >> column != 0 && column < grid->columns; column++)
			mass += (cells[row] >> column & 1) * grid->mass[row][column];
	return mass;
}

/* Decide which cells to keep: those of components that are not specks, or all if there are only specks. */
static void
find_specks(Grid *grid, uint64_t total)
{
	/* a hair line across a quarter of the cell; any ink if a cell is a pixel */
	const uint32_t enough = (uint32_t) (255 * (grid->cell - 1) / 4 + 1);
	/* the edges of strokes reach into cells with less */
	const int margin = grid->cell > 1 ? EDGE_CELLS : 0;
	uint64_t inked[GRID_SIDE] = {0};
	bool any = false;

	memset(grid->kept, 0, sizeof(grid->kept));
	for (int row = 0; row < grid->rows; row++)
		for (int column = 0; column < grid->columns; column++)
			inked[row] |= (uint64_t) (grid->mass[row][column] >= enough) << column;
	for (int start = 0; start < grid->rows; start++)
		while (inked[start] != 0)
		{
			uint64_t component[GRID_SIDE] = {0};

			component[start] = inked[start] & -inked[start];
			grow(component, inked);
			for (int row = start; row < grid->rows; row++)
				inked[row] &= ~component[row];
			if ((double) mass_of(grid, component) < SPECK_FRACTION * (double) total)
				continue;
			any = true;
			for (int row = 0; row < grid->rows; row++)
				for (int r = row > margin ? row - margin : 0; r <= row + margin && r < grid->rows; r++)
					grid->kept[r] |= spread(component[row], margin);
		}
	if (!any)
		memset(grid->kept, 255, sizeof(grid->kept));
	grid->dropped = total - mass_of(grid, grid->kept);
	grid->edge = grid->cell > 1 && (double) grid->dropped > NOISE_FRACTION * (double) total ? NOISE_EDGE : 1;
}

/* The box of the ink in the kept cells. */
static Box
find_box(const Grid *grid, const ImageInk *image, const ImageAllocator *allocator)
{
	Box box = empty_box;

	/* if all pixels are fainter than the edge, any ink counts */
	for (int threshold = grid->edge; box.right < 0; threshold = 1)
		for (int y = 0; y < image->height; y++)
		{
			const uint8_t *row = image->ink + (size_t) y * image->width;
			uint64_t kept = grid->kept[y / grid->cell];

			image_poll(allocator);
			for (int c = 0; c < grid->columns; c++)
			{
				int left = c * grid->cell;
				int right = left + grid->cell < image->width ? left + grid->cell - 1 : image->width - 1;

				if (kept >> c & 1)
					widen_by_row(&box, row, left, right, y, threshold);
			}
		}
	return box;
}

/* Copy the part of row y that lies in the box, without specks. */
static void
copy_kept(const Grid *grid, const ImageInk *image, const Box *box, int y, uint8_t *out)
{
	const uint8_t *row = image->ink + (size_t) y * image->width;
	uint64_t kept = grid->kept[y / grid->cell];
	int x = box->left;

	for (int column = x / grid->cell; x <= box->right; column++)
	{
		int end = (column + 1) * grid->cell <= box->right ? (column + 1) * grid->cell : box->right + 1;

		if (kept >> column & 1)
			memcpy(out + x - box->left, row + x, (size_t) (end - x));
		else
			memset(out + x - box->left, 0, (size_t) (end - x));
		x = end;
	}
}

/* ---- scaling ---- */

/* The source pixels of one target pixel; those between the first and the last have the same weight. */
typedef struct Taps
{
	int first;
	int count;
	float weight_first, weight_inner, weight_last; /* with one pixel only the first counts */
} Taps;

/* Shrinking: a source pixel's weight is its overlap with the target pixel's area. */
static Taps
shrinking_taps(int target, float ratio, int from)
{
	float low = (float) target * ratio;
	float high = (float) (target + 1) * ratio;
	Taps taps;
	int end;

	taps.first = (int) low < from ? (int) low : from - 1;
	end = (int) ceilf(high) < from ? (int) ceilf(high) : from;
	taps.count = end - taps.first > 1 ? end - taps.first : 1;
	taps.weight_inner = 1 / ratio;
	taps.weight_first = ((float) (taps.first + 1) - low) / ratio;
	taps.weight_last = (high - (float) (end - 1)) / ratio;
	return taps;
}

/* Enlarging: linear interpolation between pixel centres; beyond the edges is no ink. */
static Taps
growing_taps(int target, float ratio, int from)
{
	float position = ((float) target + 0.5f) * ratio - 0.5f;
	float below = floorf(position);
	float part = position - below;

	if (below < 0)
		return (Taps){.first = 0, .count = 1, .weight_first = part};
	if ((int) below >= from - 1)
		return (Taps){.first = from - 1, .count = 1, .weight_first = 1 - part};
	return (Taps){.first = (int) below, .count = 2, .weight_first = 1 - part, .weight_last = part};
}

static void
make_taps(Taps *taps, int from, int to)
{
	float ratio = (float) from / (float) to;

	for (int k = 0; k < to; k++)
		taps[k] = from >= to ? shrinking_taps(k, ratio, from) : growing_taps(k, ratio, from);
}

/* The weight of the i-th of the source pixels. */
static float
tap_weight(const Taps *taps, int i)
{
	return i == 0 ? taps->weight_first : i == taps->count - 1 ? taps->weight_last : taps->weight_inner;
}

/* One target pixel from a row of source pixels. */
static float
tap_row(const Taps *taps, const uint8_t *row)
{
	const uint8_t *source = row + taps->first;
	float sum = taps->weight_first * (float) source[0];
	uint32_t inner = 0;

	if (taps->count == 1)
		return sum;
	for (int i = 1; i < taps->count - 1; i++)
		inner += source[i];
	return sum + taps->weight_inner * (float) inner + taps->weight_last * (float) source[taps->count - 1];
}

/*
 * Restore the contrast that shrinking has reduced: the level below which 80 % of the ink lies becomes full ink.  In
 * strokes of ordinary width this level is full ink already, and nothing changes.
 */
static void
stretch(const float *levels, int n, uint8_t *out)
{
	uint32_t counts[256] = {0};
	float sum = 0;
	float below = 0;
	float gain;
	int solid;

	for (int i = 0; i < n; i++)
	{
		int level = (int) fminf(levels[i], 255.0f);

		counts[level] += 1;
		sum += (float) level;
	}
	for (solid = 0; solid < 255; solid++)
	{
		below += (float) (counts[solid] * (uint32_t) solid);
		if (below > (float) SOLID_QUANTILE * sum)
			break;
	}
	gain = solid >= 1 && solid < 250 ? 255.0f / (float) (solid + 1) : 1;
	for (int i = 0; i < n; i++)
		out[i] = (uint8_t) fminf(levels[i] * gain + 0.5f, 255.0f);
}

/* Scale the ink in box to width x height in small; row is a buffer of the box's width. */
static void
scale(const Grid *grid, const ImageInk *image, const Box *box, int width, int height, uint8_t *row, uint8_t *small,
	  const ImageAllocator *allocator)
{
	Taps across[BOX_SIDE];
	Taps down[BOX_SIDE];
	float sums[BOX_SIDE * BOX_SIDE] = {0};

	make_taps(across, box_width(box), width);
	make_taps(down, box_height(box), height);
	for (int k = 0; k < height; k++)
		for (int i = 0; i < down[k].count; i++)
		{
			int y = box->top + down[k].first + i;
			float weight = tap_weight(&down[k], i);
			const uint8_t *source = image->ink + (size_t) y * image->width + box->left;

			image_poll(allocator);
			if (grid->dropped > 0)
			{
				copy_kept(grid, image, box, y, row);
				source = row;
			}
			for (int x = 0; x < width; x++)
				sums[k * width + x] += weight * tap_row(&across[x], source);
		}
	stretch(sums, width * height, small);
}

ImageStatus
image_normalize(const ImageInk *image, const ImageAllocator *allocator, uint8_t pixels[IMAGE_PIXELS],
				ImageError *error)
{
	Grid grid;
	Box box;
	uint8_t small[BOX_SIDE * BOX_SIDE];
	uint8_t *row;
	uint64_t total;
	int longer;
	int width;
	int height;

	if (image->width == IMAGE_SIDE && image->height == IMAGE_SIDE && is_mnist(image->ink))
	{
		memcpy(pixels, image->ink, IMAGE_PIXELS);
		return IMAGE_OK;
	}
	total = fill_grid(&grid, image, allocator);
	if (total == 0)
	{
		memset(pixels, 0, IMAGE_PIXELS);
		return IMAGE_OK;
	}
	find_specks(&grid, total);
	box = find_box(&grid, image, allocator);
	width = box_width(&box);
	height = box_height(&box);
	longer = width > height ? width : height;

	row = allocator->allocate(allocator->context, (size_t) width);
	if (row == NULL)
		return image_fail_memory(error, (size_t) width);
	if (longer < BOX_SIDE_MIN || longer > BOX_SIDE)
	{
		int scaled_width = (int) ((2 * (int64_t) width * BOX_SIDE + longer) / (2 * (int64_t) longer));
		int scaled_height = (int) ((2 * (int64_t) height * BOX_SIDE + longer) / (2 * (int64_t) longer));

		width = scaled_width > 1 ? scaled_width : 1;
		height = scaled_height > 1 ? scaled_height : 1;
		scale(&grid, image, &box, width, height, row, small, allocator);
	}
	else
		for (int y = 0; y < height; y++)
			copy_kept(&grid, image, &box, box.top + y, small + y * width);
	allocator->release(allocator->context, row);
	place(small, width, height, pixels);
	return IMAGE_OK;
}

/* Is most of the border of raw pixels bright? */
static bool
border_is_light(const uint8_t pixels[IMAGE_PIXELS])
{
	int light = 0;

	for (int i = 0; i < IMAGE_SIDE; i++)
	{
		light += pixels[i] >= 128;
		light += pixels[(IMAGE_SIDE - 1) * IMAGE_SIDE + i] >= 128;
		light += pixels[i * IMAGE_SIDE] >= 128;
		light += pixels[i * IMAGE_SIDE + IMAGE_SIDE - 1] >= 128;
	}
	return light > 2 * IMAGE_SIDE;
}

ImageStatus
image_to_mnist_source(const uint8_t *data, size_t size, size_t max_pixels, const ImageAllocator *allocator,
					  uint8_t pixels[IMAGE_PIXELS], ImageSource *source, ImageError *error)
{
	ImageInk image;
	ImageStatus status;

	if (size == IMAGE_PIXELS && !image_is_png(data, size))
	{
		memcpy(pixels, data, IMAGE_PIXELS);
		*source = (ImageSource){IMAGE_SIDE, IMAGE_SIDE, border_is_light(pixels), IMAGE_PIXELS};
		return IMAGE_OK;
	}
	status = image_decode(data, size, max_pixels, allocator, &image, error);
	if (status != IMAGE_OK)
		return status;
	*source = (ImageSource){image.width, image.height, image.inverted, image.size};
	status = image_normalize(&image, allocator, pixels, error);
	allocator->release(allocator->context, image.ink);
	return status;
}

ImageStatus
image_to_mnist(const uint8_t *data, size_t size, size_t max_pixels, const ImageAllocator *allocator,
			   uint8_t pixels[IMAGE_PIXELS], ImageError *error)
{
	ImageSource source;

	return image_to_mnist_source(data, size, max_pixels, allocator, pixels, &source, error);
}
