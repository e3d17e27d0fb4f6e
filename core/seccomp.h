/* What the kernel still does for the processes in which rules run. A filter is for life: it cannot be
 * taken off again, and the second one only narrows the first. */
#ifndef FLUO_SECCOMP_H
#define FLUO_SECCOMP_H

enum seccomp_stage {
  SECCOMP_LOAD,     /* the rule process once all files are read: memory, its descriptors, cloning workers */
  SECCOMP_WORK      /* a worker: memory, read and write, and to exit */
};

/* Enters a stage: what is not listed fails with EPERM; what only an intruder would call (exec, sockets,
 * ptrace; in a worker also clone) ends the process. 0, or -errno where the kernel has no such filters. Under
 * AddressSanitizer, which needs more than this, it does nothing and says -ENOSYS. */
int seccomp_enter(enum seccomp_stage stage);

#endif
