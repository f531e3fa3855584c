/* What it costs to take a right to a page away from a thread on another CPU: the unit in which a
 * blackout of readers is measured, since no move can do without one flush of their TLBs. */
#ifndef BENCH_FLUSH_H
#define BENCH_FLUSH_H

/*
 * mprotect(2) of one page while a thread on another CPU reads it, less the same without that thread:
 * the difference of the medians, in ns. NAN: this process has one CPU only, no thread can be
 * started, or a flush costs nothing to speak of. Takes some milliseconds and pins the caller meanwhile; nothing else should run.
 */
double flush_measure(void);

#endif
