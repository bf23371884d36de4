/*
 * synthetic.c: digits that look as if a person drew them with a pen.
 *
 * Each way of writing a digit is a form: the points that the pen passes, stroke by stroke, joined by a Catmull-Rom
 * spline (each of its pieces is a cubic Bezier curve).  A digit is made from the form in four steps, which depend on
 * the key alone:
 *
 * 1. every point is moved a little; this also varies the lengths of the strokes;
 * 2. the plane is bent (proportions of upper and lower half, width, a slow wave), slanted and turned;
 * 3. the pen's radius is chosen; it varies along the stroke, like speed and pressure;
 * 4. each piece of the line is rendered as a capsule: the ink of a pixel depends on how far its centre is inside.
 *
 * Coordinates: of a form, 0..100 x 0..100, y downwards; of a digit, relative to its middle, height 1; of the canvas,
 * pixels.
 */
#include "image/synthetic.h"
#include "image/preprocess.h"

#include "util/rng.h"

#include <string.h>

#define MAX_POINTS 20 /* of a form */
#define PIECES 6	  /* straight pieces for each piece of the spline */
#define MAX_LINE (MAX_POINTS * (PIECES + 1))
#define WORK_SIDE 64 /* canvas of image_synthetic */

/*
 * How much handwriting varies: standard deviations, except for the pen's usual and largest radius.  They are chosen
 * so that the digits match MNIST's in proportions, slant and stroke width, and so that a network trained on one kind
 * recognizes the other.
 */
#define POINT_X 3.6f /* of a form's points, in a form's coordinates */
#define POINT_Y 2.8f
#define WAVE 0.027f /* of the slow waves' amplitudes, as a fraction of the digit's height */
#define BALANCE 0.14f
#define FLARE 0.20f
#define BOW 0.07f
#define ASPECT 0.19f /* of the logarithm */
#define TURN 0.10f	 /* radians */
#define SLANT 0.25f
#define PEN_RADIUS 0.073f /* as a fraction of the digit's height */
#define PEN_SPREAD 0.31f  /* of the logarithm */
#define PEN_RADIUS_MAX 0.14f

typedef struct Point
{
	float x, y;
} Point;

/* A way to write a digit: points "x,y" in the order of writing; ! makes a corner, | lifts the pen. */
typedef struct Form
{
	int label;
	float chance; /* among the forms of the same digit */
	float aspect; /* usual width divided by height */
	const char *points;
} Form;

static const Form forms[] = {
	/* closed; started inside; open at the top; with an overlap; with a slash */
	{0, 0.37f, 0.84f, "55,2 22,12 3,52 20,90 50,99 82,86 97,48 80,12 52,2 40,5"},
	{0, 0.27f, 0.86f, "70,10 36,5 6,45 20,88 52,98 88,72 92,30 62,3 38,12"},
	{0, 0.20f, 0.84f, "48,0 15,22 5,60 30,97 70,92 95,55 85,15 60,2"},
	{0, 0.10f, 0.82f, "30,22 60,2 92,30 90,70 50,99 10,75 8,32 44,3 62,14"},
	{0, 0.06f, 0.86f, "62,2 20,15 4,52 22,92 60,98 92,70 92,28 60,2 | 80,15 50,50 22,88"},

	/* plain; with a flag; with flag and foot */
	{1, 0.74f, 0.60f, "50,0 50,50 50,100"},
	{1, 0.11f, 0.60f, "25,24 52,0! 51,50 50,100"},
	{1, 0.15f, 0.70f, "25,22 52,0! 52,50 52,99 | 18,100 50,99 85,99"},

	/* angular; with a loop; with a wide one; with a round one; with a low one; with a wavy foot */
	{2, 0.30f, 0.81f, "8,22 38,0 80,10 80,38 45,70 3,98! 50,97 98,96"},
	{2, 0.18f, 0.86f, "6,20 38,0 76,12 74,46 42,82 12,98 2,86 22,76 58,90 98,96"},
	{2, 0.16f, 0.92f, "10,22 36,2 70,8 72,40 46,76 18,99 2,84 16,66 50,76 98,98"},
	{2, 0.12f, 0.90f, "15,18 48,0 84,18 78,52 48,86 18,94 8,74 34,62 60,80 86,96"},
	{2, 0.10f, 0.72f, "20,16 50,0 80,12 74,46 56,80 26,98 4,86 20,70 52,80 90,94"},
	{2, 0.14f, 0.86f, "10,30 22,6 56,0 82,20 68,52 30,82 5,96! 35,88 70,97 100,88"},

	/* with a corner in the middle; with a small loop there; with a flat top; swinging out; curled in */
	{3, 0.38f, 0.74f, "10,12 45,0 82,14 72,38 38,48! 80,55 92,78 55,100 4,90"},
	{3, 0.27f, 0.74f, "8,14 48,0 82,18 66,42 36,48 66,52 92,74 60,99 6,90"},
	{3, 0.08f, 0.74f, "8,4 46,2 85,2! 42,42! 80,50 92,76 52,100 4,90"},
	{3, 0.17f, 0.80f, "20,10 58,0 90,12 76,34 44,44! 74,50 84,72 50,96 0,98"},
	{3, 0.10f, 0.74f, "14,18 50,0 84,10 66,36 40,46 72,54 78,78 40,98 6,86 18,76"},

	/* open, angular; open, round; closed; open, in one stroke; closed, pointed */
	{4, 0.32f, 0.78f, "14,5 8,32 6,55! 50,54 96,50 | 78,0 74,50 70,100"},
	{4, 0.28f, 0.78f, "10,3 6,30 20,52 52,50 84,36 | 88,0 82,50 76,100"},
	{4, 0.15f, 0.80f, "66,0 34,32 3,64! 50,64 100,62 | 68,0 66,50 64,100"},
	{4, 0.13f, 0.76f, "20,0 6,28 10,46 48,46 86,38! 90,4! 80,50 72,100"},
	{4, 0.12f, 0.74f, "76,2! 40,28 6,56! 52,54 96,50 | 76,2 68,50 58,100"},

	/* hat drawn last; in one stroke; round; with a long hat; with a closed bowl */
	{5, 0.27f, 0.82f, "26,4 20,42! 60,36 90,60 75,92 35,100 4,88 | 26,4 58,3 94,0"},
	{5, 0.25f, 0.82f, "92,2 60,3 30,5! 20,42! 60,38 88,64 64,96 4,94"},
	{5, 0.22f, 0.80f, "92,4 44,5 22,24 36,42 70,56 78,84 44,100 4,90"},
	{5, 0.15f, 0.92f, "30,8 22,46! 52,44 68,64 56,92 26,100 2,90 | 30,8 64,6 100,0"},
	{5, 0.11f, 0.76f, "90,3 34,4! 24,44! 58,36 90,54 84,86 44,100 12,88 22,74"},

	/* wide; narrow; with a straight stem; with a small loop; with a round bowl; open */
	{6, 0.26f, 0.75f, "72,0 32,25 6,62 24,95 66,98 90,76 66,54 30,60 12,78"},
	{6, 0.24f, 0.70f, "62,0 22,40 8,78 42,100 84,84 74,58 42,58 14,80"},
	{6, 0.17f, 0.72f, "36,0 16,38 8,74 34,99 78,92 84,66 52,55 15,76"},
	{6, 0.11f, 0.70f, "60,0 26,30 8,66 22,96 60,98 78,82 62,66 34,74 22,90"},
	{6, 0.12f, 0.98f, "46,0 14,30 2,68 24,98 70,98 98,76 74,56 36,60 14,82"},
	{6, 0.10f, 0.72f, "60,0 20,34 6,72 34,100 78,90 84,64 56,58 38,72"},

	/* plain; with a serif; with a hook; with a bar; curved; the same with a bar; with hook and curve */
	{7, 0.30f, 0.77f, "4,6 48,5 92,4! 66,48 44,100"},
	{7, 0.10f, 0.77f, "6,24 6,4! 50,4 94,3! 66,48 46,100"},
	{7, 0.12f, 0.75f, "2,30 14,5 52,6 92,2! 64,46 40,100"},
	{7, 0.13f, 0.80f, "4,6 48,5 92,4! 66,48 44,100 | 28,54 56,50 86,47"},
	{7, 0.19f, 0.75f, "3,14 26,3 66,8 92,6! 72,38 56,70 52,100"},
	{7, 0.06f, 0.78f, "3,14 26,3 60,8 86,6! 68,38 52,70 46,100 | 18,56 58,50 98,46"},
	{7, 0.10f, 0.72f, "4,34 12,12 48,4 86,10 78,44 60,74 54,100"},

	/* from the top right; from the middle; two loops; open at the top; leaning; two rings; long arm; small foot */
	{8, 0.26f, 0.75f, "84,14 52,0 18,16 34,40 68,58 84,80 50,100 14,84 28,60 62,42 84,22 80,8"},
	{8, 0.12f, 0.75f, "60,42 84,18 52,0 20,16 34,42 72,60 82,84 48,100 16,84 30,60 62,40"},
	{8, 0.10f, 0.75f, "52,46 22,26 48,1 80,20 52,46 16,70 42,100 86,80 54,46"},
	{8, 0.14f, 0.78f, "90,10 56,2 20,14 28,36 62,54 76,80 44,100 12,84 30,62 66,40 98,8"},
	{8, 0.12f, 0.90f, "98,8 60,0 18,12 30,36 66,58 74,86 38,100 10,82 34,58 74,34 96,14"},
	{8, 0.10f, 0.72f, "50,44 18,32 24,6 60,0 82,20 72,40 46,45 | 46,46 14,64 20,94 62,100 88,78 72,52 44,46"},
	{8, 0.10f, 0.80f, "86,8 50,0 14,18 40,46 76,70 62,98 28,98 22,74 56,42 98,10"},
	{8, 0.06f, 0.66f, "84,24 60,2 22,8 16,34 56,52 66,78 46,98 28,82 44,58 78,36 90,12"},

	/* straight leg; curved leg; round; with a small loop; open at the top; with a large loop */
	{9, 0.32f, 0.70f, "84,14 48,2 10,26 30,50 68,42 88,10! 84,50 76,100"},
	{9, 0.13f, 0.74f, "84,16 48,0 10,26 34,52 74,38 90,10! 90,58 66,96 22,92"},
	{9, 0.22f, 0.68f, "82,30 44,50 8,30 40,1 80,16 82,52 58,100"},
	{9, 0.13f, 0.68f, "80,8 46,4 14,22 24,42 58,40 84,14! 70,56 52,100"},
	{9, 0.10f, 0.74f, "60,2 24,6 8,30 34,44 70,34 90,6! 82,52 72,100"},
	{9, 0.10f, 0.78f, "88,28 56,2 10,16 6,50 42,62 80,44 90,16! 88,60 82,100"},
};

/* How much each digit usually leans to the right, and how broad its strokes are, relative to the average. */
static const float usual_slant[10] = {0.20f, 0.26f, 0.08f, 0.08f, 0.21f, 0.20f, 0.10f, 0.04f, 0.14f, 0.13f};
static const float usual_breadth[10] = {1.12f, 1.10f, 1.08f, 1.00f, 0.94f, 0.97f, 0.96f, 1.00f, 0.92f, 0.88f};

/* Parameters that vary from digit to digit. */
typedef struct Hand
{
	float width;	  /* of the digit; its height is 1 */
	float balance;	  /* moves the middle up or down */
	float flare;	  /* wider below than above */
	float bow;		  /* bends the vertical */
	float wave[2][5]; /* slow waves: frequencies along x and y, phase, amplitudes in x and y */
	float slant;
	float cosine, sine; /* of the turn */
	float radius;		/* of the pen; the digit's height is 1 */
	float pressure;		/* the radius varies along the line like a sine: amplitude, frequency and phase */
	float pressure_rate;
	float pressure_phase;
	float taper; /* the radius at the end of the line, as a fraction */
} Hand;

/* A line of points, with the pen's radius at each; lifted: the pen is up before this point. */
typedef struct Line
{
	int n;
	Point points[MAX_LINE];
	float radius[MAX_LINE];
	bool lifted[MAX_LINE];
} Line;

static const Form *
choose_form(int label, Rng *rng)
{
	float chance = rng_uniform(rng);
	const Form *chosen = NULL;

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
	{
		if (forms[i].label != label)
			continue;
		chosen = &forms[i];
		if (chance < chosen->chance)
			break;
		chance -= chosen->chance;
	}
	return chosen;
}

static Hand
choose_hand(const Form *form, Rng *rng)
{
	Hand hand;
	float turn = TURN * rng_normal(rng);

	hand.width = form->aspect * expf(ASPECT * rng_normal(rng));
	hand.balance = BALANCE * rng_normal(rng);
	hand.flare = FLARE * rng_normal(rng);
	hand.bow = BOW * rng_normal(rng);
	for (int i = 0; i < 2; i++)
	{
		hand.wave[i][0] = rng_range(rng, -5, 5);
		hand.wave[i][1] = rng_range(rng, -5, 5);
		hand.wave[i][2] = rng_range(rng, 0, 6.2831853f);
		hand.wave[i][3] = WAVE * rng_normal(rng);
		hand.wave[i][4] = WAVE * rng_normal(rng);
	}
	hand.slant = usual_slant[form->label] + SLANT * rng_normal(rng);
	hand.cosine = cosf(turn);
	hand.sine = sinf(turn);
	hand.radius = PEN_RADIUS * usual_breadth[form->label] * expf(PEN_SPREAD * rng_normal(rng));
	hand.radius = fminf(hand.radius, PEN_RADIUS_MAX);
	hand.pressure = rng_range(rng, 0, 0.3f);
	hand.pressure_rate = rng_range(rng, 1, 5);
	hand.pressure_phase = rng_range(rng, 0, 6.2831853f);
	hand.taper = rng_range(rng, 0.5f, 1.1f);
	return hand;
}

/* From a form's coordinates to the digit's. */
static Point
bend(const Hand *hand, Point p)
{
	float x = (p.x / 100 - 0.5f) * hand->width;
	float y = p.y / 100 - 0.5f;
	float wx = x;
	float wy = y;

	y += hand->balance * (0.25f - y * y) * 2;
	x *= 1 + 2 * hand->flare * y;
	x += hand->bow * (1 - 4 * y * y);
	for (int i = 0; i < 2; i++)
	{
		float s = sinf(hand->wave[i][0] * wx + hand->wave[i][1] * wy + hand->wave[i][2]);

		x += hand->wave[i][3] * s;
		y += hand->wave[i][4] * s;
	}
	x -= hand->slant * y;
	return (Point){hand->cosine * x - hand->sine * y, hand->sine * x + hand->cosine * y};
}

/* The points of a form, each moved a little. */
typedef struct Path
{
	int n;
	Point points[MAX_POINTS];
	bool corner[MAX_POINTS];
	bool lifted[MAX_POINTS]; /* the pen is up before this point */
} Path;

/* Parse a number at *text and skip it and the comma after it. */
static float
read_number(const char **text)
{
	int number = 0;

	for (; **text >= '0' && **text <= '9'; (*text)++)
		number = 10 * number + **text - '0';
	if (**text == ',')
		(*text)++;
	return (float) number;
}

static void
move_points(const Form *form, Rng *rng, Path *path)
{
	bool lifted = true;

	path->n = 0;
	for (const char *at = form->points; *at != '\0';)
	{
		if (*at == ' ' || *at == '|')
		{
			lifted = lifted || *at == '|';
			at++;
			continue;
		}
		path->points[path->n].x = read_number(&at) + POINT_X * rng_normal(rng) / form->aspect;
		path->points[path->n].y = read_number(&at) + POINT_Y * rng_normal(rng);
		path->lifted[path->n] = lifted;
		path->corner[path->n++] = *at == '!';
		at += *at == '!';
		lifted = false;
	}
}

/* Append points on the spline from b (excluded) to c; a and d are the points before and after. */
static void
add_piece(Line *line, const Hand *hand, Point a, Point b, Point c, Point d)
{
	for (int i = 1; i <= PIECES; i++)
	{
		float t = (float) i / PIECES;
		float t2 = t * t;
		float t3 = t2 * t;
		float wa = -0.5f * t3 + t2 - 0.5f * t;
		float wb = 1.5f * t3 - 2.5f * t2 + 1;
		float wc = -1.5f * t3 + 2 * t2 + 0.5f * t;
		float wd = 0.5f * t3 - 0.5f * t2;
		Point p = {wa * a.x + wb * b.x + wc * c.x + wd * d.x, wa * a.y + wb * b.y + wc * c.y + wd * d.y};

		line->lifted[line->n] = false;
		line->points[line->n++] = bend(hand, p);
	}
}

/* Set the pen's radius along the whole line. */
static void
add_pressure(Line *line, const Hand *hand)
{
	float length = 0;

	for (int i = 0; i < line->n; i++)
	{
		float dx = i > 0 ? line->points[i].x - line->points[i - 1].x : 0;
		float dy = i > 0 ? line->points[i].y - line->points[i - 1].y : 0;

		length += sqrtf(dx * dx + dy * dy);
		line->radius[i] =
			hand->radius * (1 + hand->pressure * sinf(hand->pressure_rate * length + hand->pressure_phase));
	}
	for (int i = 0; i < 4 && i < line->n; i++)
		line->radius[line->n - 1 - i] *= hand->taper + (1 - hand->taper) * (float) i / 4;
}

/* Lay the whole line of a digit. */
static void
lay_line(int label, Rng *rng, Line *line)
{
	const Form *form = choose_form(label, rng);
	Hand hand = choose_hand(form, rng);
	Path path;

	move_points(form, rng, &path);
	line->n = 0;
	for (int i = 0; i < path.n; i++)
	{
		if (path.lifted[i])
		{
			line->lifted[line->n] = true;
			line->points[line->n++] = bend(&hand, path.points[i]);
		}
		else
		{
			bool first = path.lifted[i - 1] || path.corner[i - 1];
			bool last = i + 1 == path.n || path.lifted[i + 1] || path.corner[i];

			add_piece(line, &hand, path.points[first ? i - 1 : i - 2], path.points[i - 1], path.points[i],
					  path.points[last ? i : i + 1]);
		}
	}
	add_pressure(line, &hand);
}

static int
clamp(int value, int low, int high)
{
	return value < low ? low : value > high ? high : value;
}

/* Ink a capsule from a (radius ra) to b (radius rb), all in pixels. */
static void
ink_capsule(uint8_t *ink, int side, Point a, Point b, float ra, float rb)
{
	float reach = fmaxf(ra, rb) + 0.5f;
	int left = clamp((int) floorf(fminf(a.x, b.x) - reach), 0, side);
	int right = clamp((int) ceilf(fmaxf(a.x, b.x) + reach), 0, side);
	int top = clamp((int) floorf(fminf(a.y, b.y) - reach), 0, side);
	int bottom = clamp((int) ceilf(fmaxf(a.y, b.y) + reach), 0, side);
	float dx = b.x - a.x;
	float dy = b.y - a.y;
	float inverse = 1 / fmaxf(dx * dx + dy * dy, 1e-12f);

	for (int y = top; y < bottom; y++)
		for (int x = left; x < right; x++)
		{
			float px = (float) x + 0.5f - a.x;
			float py = (float) y + 0.5f - a.y;
			float along = (px * dx + py * dy) * inverse;
			float t = along < 0 ? 0 : along > 1 ? 1 : along;
			float qx = px - t * dx;
			float qy = py - t * dy;
			float r = ra + t * (rb - ra) + 0.5f;
			float d2 = qx * qx + qy * qy;
			float inside;
			uint8_t level;

			if (d2 >= r * r)
				continue;
			inside = r - sqrtf(d2);
			level = (uint8_t) (inside < 1 ? 255 * inside + 0.5f : 255);
			if (ink[(size_t) y * side + x] < level)
				ink[(size_t) y * side + x] = level;
		}
}

void
image_draw_digit(int label, uint64_t key, int side, uint8_t *ink)
{
	Rng rng = rng_start(rng_key(key, (uint64_t) label));
	Line line;
	float left = 1e9f;
	float right = -1e9f;
	float top = 1e9f;
	float bottom = -1e9f;
	float size;
	float x;
	float y;

	lay_line(label, &rng, &line);
	for (int i = 0; i < line.n; i++)
	{
		left = fminf(left, line.points[i].x - line.radius[i]);
		right = fmaxf(right, line.points[i].x + line.radius[i]);
		top = fminf(top, line.points[i].y - line.radius[i]);
		bottom = fmaxf(bottom, line.points[i].y + line.radius[i]);
	}

	/* the longer side of the digit takes 55 to 85 % of the canvas; it is anywhere within a margin of 5 % */
	size = rng_range(&rng, 0.55f, 0.85f) * (float) side / fmaxf(right - left, bottom - top);
	x = rng_range(&rng, 0.05f * (float) side, 0.95f * (float) side - (right - left) * size) - left * size;
	y = rng_range(&rng, 0.05f * (float) side, 0.95f * (float) side - (bottom - top) * size) - top * size;

	memset(ink, 0, (size_t) side * side);
	for (int i = 0; i < line.n; i++)
	{
		line.points[i] = (Point){line.points[i].x * size + x, line.points[i].y * size + y};
		line.radius[i] *= size;
		if (!line.lifted[i])
			ink_capsule(ink, side, line.points[i - 1], line.points[i], line.radius[i - 1], line.radius[i]);
	}
}

ImageStatus
image_synthetic(int label, uint64_t key, const ImageAllocator *allocator, uint8_t pixels[IMAGE_PIXELS],
				ImageError *error)
{
	uint8_t ink[WORK_SIDE * WORK_SIDE];
	ImageInk image = {.width = WORK_SIDE, .height = WORK_SIDE, .ink = ink};

	image_draw_digit(label, key, WORK_SIDE, ink);
	return image_normalize(&image, allocator, pixels, error);
}
