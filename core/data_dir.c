/* Each directory on the way is made, or is there. What was wrong with one shows at the last, which is looked at by the
 * kernel's rules for whoever runs the agent, read-only mounts included; nothing is written to find out. */
#include "data_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool data_dir_make(const char *wanted, struct log *log) {
  char path[4096];
  snprintf(path, sizeof path, "%s", wanted);
  for (char *p = path + 1; *p; p++) {
    if (*p != '/') continue;
    *p = '\0';
    mkdir(path, 0750);
    *p = '/';
  }
  int fd = mkdir(path, 0750) == 0 || errno == EEXIST ? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
  bool writable = fd >= 0 && faccessat(fd, ".", W_OK, 0) == 0;
  int error = errno;
  if (fd >= 0) close(fd);
  if (writable) return true;
  log_to(log, LOG_WARN,
         "the data directory cannot be written: at a restart windows, baselines and sequences forget what they know, "
         "and incidents, alerts that were not delivered, silences and feedback are gone",
         log_s("data", path), log_s("error", strerror(error)));
  return false;
}
