/* The counters of FIRN_SOMETIMES, added up over many processes in a small file of lines "count
 * <tab> name". Every test program of firn_testlib does so when it exits if FIRN_SOMETIMES names
 * such a file; tests/sometimes.py prints it. */
#ifndef FIRN_TESTS_SOMETIMES_FILE_H
#define FIRN_TESTS_SOMETIMES_FILE_H

/* Add what was counted since the last call of this process to the file, which is made if it is not
 * there. Processes exclude each other (flock). A process that ends by _exit or a signal calls it by
 * itself. Exits with a message where the file cannot be written. */
void firn_sometimes_save(const char *path);

#endif
