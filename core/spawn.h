/* Starting a process of ours: this binary again, with the descriptors it is to have and no others. */
#ifndef FLUO_SPAWN_H
#define FLUO_SPAWN_H

enum { SPAWN_FDS_MAX = 16 };

/* exe NULL: /proc/self/exe. fds[i], for i from `first` to count - 1, becomes descriptor i there (lent: the process gets
 * copies); 0 is /dev/null, and so is 1; all others are closed. An empty environment, default signals, a process group of
 * its own. 0 and *pid; FLUO_EIO (errno says why) or FLUO_ENOMEM. */
int spawn_process(const char *exe, char *const argv[], const int *fds, int first, int count, int *pid);

#endif
