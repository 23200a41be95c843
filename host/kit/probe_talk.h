/* `derd probe` for devices that hooks talk to: every driver of that kind of link is tried in an
 * engine of its own with mode = "observe", so that nothing is written, and shows what it reads.
 * Main thread, blocks. */
#ifndef DERD_KIT_PROBE_TALK_H
#define DERD_KIT_PROBE_TALK_H

#include <stdio.h>

/* 0: a driver fits, 1: none does. */
int probe_talk(const char *url, FILE *out);

#endif
