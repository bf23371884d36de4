/*
 * The functions that views to watch by are made of run with the rights of who reads the view, so PUBLIC may call them:
 * they tell nothing that is stored.
 */
GRANT EXECUTE ON FUNCTION mnist_internal.feature_catalog, mnist_internal.drift_settings, mnist_internal.histogram, mnist_internal.two_sample,
    mnist_internal.pad_edges TO PUBLIC;
