/*
 * The functions that views to watch by are made of run with the rights of who reads the view, so PUBLIC may call them:
 * they tell nothing that is stored.
 */
GRANT EXECUTE ON FUNCTION mnist_hil_feature_catalog, mnist_hil_drift_settings, mnist_hil_histogram, mnist_hil_two_sample,
    mnist_hil_pad_edges TO PUBLIC;
