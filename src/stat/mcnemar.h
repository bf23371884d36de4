/*
 * mcnemar.h: is one of two classifiers better, going by the same images?
 */
#ifndef MCNEMAR_H
#define MCNEMAR_H

#include <stdint.h>

/*
 * McNemar's exact test, two-sided: how probable it is that two networks which are as good as each other differ by at
 * least so much.  only_first, only_second: images that only the first, or only the second, predicts correctly; how
 * many both get right, or both wrong, makes no difference.  The binomial distribution of only_first among all that
 * differ (McNemar 1947; Dietterich 1998 recommends it for comparing classifiers).  Returns a p-value, 0 .. 1; 0 is
 * less than 1e-300.  It is exact (relative error under 1e-6) for up to 1e8 images that differ; beyond, it is the
 * normal distribution with a correction for continuity (Edwards 1948), whose relative error there is under 1e-5 where
 * p > 1e-9.
 */
extern double mcnemar_p(int64_t only_first, int64_t only_second);

#endif /* MCNEMAR_H */
