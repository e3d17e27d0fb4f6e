/* fluo: which command was called. Wiring only; agent.c and replay.c own what runs. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent.h"
#include "config.h"
#include "replay.h"
#include "worker.h"

/* Commands that serve: their configuration is read first, in a child. */
static int configured(const char *command, int argc, char **argv,
                      int (*run)(const struct config *)) {
  struct config config;
  struct config_call call = {.command = command, .argc = argc, .argv = argv};
  char why[256];
  int status;
  if (config_load(&call, &config, &status, why)) {
    if (why[0]) fprintf(stderr, "fluo: %s\n", why);
    return status;
  }
  status = run(&config);
  config_deinit(&config);
  return status;
}

static int version(void) {
  printf("fluo %s\n", FLUO_VERSION);
  return fflush(stdout) ? 1 : 0;
}

/* `fluo config show`: in the bounded child, for the file is Lua. */
static int show(int argc, char **argv) {
  struct config_call call = {.command = "show", .argc = argc, .argv = argv};
  return config_show(&call);
}

static void on_cpu_limit(int number) {
  static const char text[] =
      "fluo: a rule file took more than 10 s of CPU to load: does it loop outside a function?\n";
  (void)number;
  if (write(STDERR_FILENO, text, sizeof text - 1) < 0) _exit(2);
  _exit(1);
}

/* `fluo check` evaluates rule files in this very process, which serves nothing: it may not run for
 * ever. */
static void limit_cpu(void) {
  struct rlimit limit = {.rlim_cur = 10, .rlim_max = 12};
  signal(SIGXCPU, on_cpu_limit);
  setrlimit(RLIMIT_CPU, &limit);
}

int main(int argc, char **argv) {
  const char *command = argc > 1 ? argv[1] : "";
  if (strcmp(command, WORKER_RULES) == 0) return worker_main(argc, argv);
  if (strcmp(command, "--internal-config") == 0) return worker_script("fluo.config", argc, argv, NULL);
  signal(SIGPIPE, SIG_IGN);
  bool help =
      argc > 2 && (strcmp(argv[argc - 1], "--help") == 0 || strcmp(argv[argc - 1], "-h") == 0);
  if (!help && strcmp(command, "run") == 0) return configured("run", argc - 2, argv + 2, agent_run);
  if (!help && strcmp(command, "replay") == 0)
    return configured("replay", argc - 2, argv + 2, replay_run);
  if (strcmp(command, "version") == 0 || strcmp(command, "--version") == 0) return version();
  if (!help && argc > 2 && strcmp(command, "config") == 0 && strcmp(argv[2], "show") == 0)
    return show(argc - 3, argv + 3);
  limit_cpu();
  return worker_script("fluo.cli", argc, argv, "fluo: the rules need more than 64 MiB of memory to load");
}
