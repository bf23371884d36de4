/*
 * mcnemar.h: is one of two classifiers better on the same images?
 */
#ifndef MCNEMAR_H
#define MCNEMAR_H

#include <stdint.h>

/*
 * McNemar's exact test, two-sided (McNemar 1947; Dietterich 1998 recommends it for comparing classifiers).  Returns
 * the p-value: the probability that two equally good classifiers differ by at least this much, 0 .. 1; 0 stands for
 * less than 1e-300.  only_first, only_second: images that only the first, or only the second, predicts correctly.
 * Images that both predict correctly, or both wrongly, do not matter.  If the two are equally good, only_first has a
 * binomial distribution with probability 1/2 among the images on which they differ.
 *
 * The result is exact (relative error under 1e-6) for up to 1e8 such images.  Beyond, it uses the normal distribution
 * with a correction for continuity (Edwards 1948), whose relative error there is under 1e-5 where p > 1e-9.
 */
extern double mcnemar_p(int64_t only_first, int64_t only_second);

#endif /* MCNEMAR_H */
