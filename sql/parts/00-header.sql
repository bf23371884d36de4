\echo Use "CREATE EXTENSION mnist_hil" to load this file. \quit

