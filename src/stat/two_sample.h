/*
 * two_sample.h: are two samples from the same distribution, and if not, how far apart are they?
 *
 * Plain C: no PostgreSQL, no allocation, no I/O.  Samples come as histograms over the same bins: counts a (the
 * reference) and b (the sample), all counts at least 0.  Probabilities are p-values: small ones are evidence of two
 * different distributions.  The time of a call depends on the number of bins alone, or is at most some milliseconds,
 * whatever the counts.  Sums of counts are doubles: beyond 2^53 they are rounded to 16 digits.
 */
#ifndef TWO_SAMPLE_H
#define TWO_SAMPLE_H

#include <stdint.h>

/*
 * Cut n finite values, in ascending order, into about "bins" bins of equal counts.  Writes at most 2 * bins + 2
 * edges, strictly ascending, and returns their number; no edges if n is 0.  Bin i holds the values from edge i - 1
 * on that are below edge i.  A value that would fill a bin alone gets a bin of its own.  The first and the last bin
 * are empty: they are for values outside the range of these, so that a sample that differs only there is recognized.
 */
extern int two_sample_edges(const float *values, int n, int bins, float *edges);

/* The bin that a value belongs to: 0 .. nedges. */
extern int two_sample_bin(float value, const float *edges, int nedges);

/* The sum of counts. */
extern double two_sample_total(const int64_t *counts, int bins);

/* Kolmogorov and Smirnov's statistic: the largest difference of the distribution functions, at the edges of bins. */
extern double two_sample_ks(const int64_t *a, const int64_t *b, int bins);

/*
 * The probability of a larger statistic between samples of n and m values of one continuous distribution: the
 * asymptotic one, corrected for small samples (Stephens 1970).  Ties and bins only make the statistic smaller.
 */
extern double two_sample_ks_p(double statistic, double n, double m);

/*
 * Pearson's chi-square of homogeneity.  Neighbouring bins are joined until the smaller sample is expected to have at
 * least 5 in each (Cochran 1954).  *freedom is the number of joined bins less one, and may be 0.
 */
extern double two_sample_chi_square(const int64_t *a, const int64_t *b, int bins, int *freedom);

/* The probability of a larger chi-square with these degrees of freedom; 1 for none. */
extern double two_sample_chi_square_p(double statistic, int freedom);

/*
 * Fisher's exact test, two-sided.  a[1] and b[1] count the observations of a kind in the two samples, a[0] and b[0]
 * the others.  Returns the total probability of all tables with the same margins that are no more likely than this
 * one; 0 stands for less than 1e-290.
 *
 * The result is exact (relative error under 1e-8) as long as the variance of b[1], given the margins, is at most
 * 1e8.  That holds for samples of up to 1.6e9 in all, and for rare kinds in larger ones.  Beyond, it uses the normal
 * distribution with a correction for continuity (Yates 1934), whose relative error there is under 0.1 % where p >
 * 0.01 and under 1 % where p > 1e-9.  The first neglected term of the Edgeworth series is proportional to the
 * skewness, which is at most one over the standard deviation.
 */
extern double two_sample_fisher_p(const int64_t a[2], const int64_t b[2]);

/*
 * The population stability index: the sum of (q - p) ln(q / p) over groups of bins, where p and q are a group's
 * fractions of a and b.  Bins are joined into about "groups" groups with equal counts of a; 0: each bin is a group.
 * Half an observation is added to every group, so that none is empty.
 */
extern double two_sample_psi(const int64_t *a, const int64_t *b, int bins, int groups);

/* Cliff's delta, -1 .. 1: the probability that a value of b is above one of a, minus that it is below. */
extern double two_sample_delta(const int64_t *a, const int64_t *b, int bins);

#endif /* TWO_SAMPLE_H */
