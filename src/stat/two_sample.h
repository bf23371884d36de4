/*
 * two_sample.h: are two samples of one distribution, and if not, how far apart are they?
 *
 * Plain C: no PostgreSQL, no allocation, no I/O.  Samples come as histograms over the same bins: counts a (the
 * reference) and b (the sample), all counts at least 0.  Probabilities are upper tails: small ones speak against one
 * distribution.  How long a call takes depends on the number of bins alone, or has a bound of some milliseconds,
 * whatever the counts.  Sums of counts are doubles: beyond 2^53 they are rounded to 16 digits.
 */
#ifndef TWO_SAMPLE_H
#define TWO_SAMPLE_H

#include <stdint.h>

/*
 * Cut n values, sorted upwards and finite, into about so many bins that hold as many values each: writes at most
 * 2 * bins + 2 edges, strictly upwards, and returns how many.  A value belongs to the bin after the last edge that is
 * not above it.  A value that would fill a bin alone gets a bin of its own.  What lies outside of the values has the
 * first and the last bin to itself, so that a sample that differs only there is told apart.  n 0: no edges.
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
 * least 5 in each (Cochran 1954); *freedom is what is left of them less one, and may be 0.
 */
extern double two_sample_chi_square(const int64_t *a, const int64_t *b, int bins, int *freedom);

/* The probability of a larger chi-square with so many degrees of freedom; 1 for none. */
extern double two_sample_chi_square_p(double statistic, int freedom);

/*
 * Fisher's exact test, two-sided: the probability of all tables with the same margins that are no more likely than
 * this one, of two samples with so many of a kind (a[1], b[1]) and so many not (a[0], b[0]); 0 is less than 1e-290.
 *
 * It is exact (relative error under 1e-8) as long as the variance of b[1], given the margins, is at most 1e8.  That
 * holds for samples of up to 1.6e9 in all, and for rare kinds in larger ones.  Beyond, it is the normal distribution
 * with a correction for continuity (Yates 1934), whose relative error there is under 0.1 % where p > 0.01 and under
 * 1 % where p > 1e-9: the first term of the Edgeworth series that it leaves out has the skewness in it, which is at
 * most one over the standard deviation.
 */
extern double two_sample_fisher_p(const int64_t a[2], const int64_t b[2]);

/*
 * The population stability index: the sum of (q - p) ln(q / p), p and q the fractions of a and of b, over groups of
 * bins, each with about one in so many of a; 0: every bin by itself.  Half an observation is added to every group, so
 * that none is empty.
 */
extern double two_sample_psi(const int64_t *a, const int64_t *b, int bins, int groups);

/* Cliff's delta: the probability that a value of b lies above one of a less that it lies below, -1 .. 1. */
extern double two_sample_delta(const int64_t *a, const int64_t *b, int bins);

#endif /* TWO_SAMPLE_H */
