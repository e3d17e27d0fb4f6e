/* fluo: which command was called. Wiring only; agent.c, replay.c and explain.c own what runs. */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent.h"
#include "config.h"
#include "errand.h"
#include "explain.h"
#include "postroom.h"
#include "replay.h"
#include "tune.h"
#include "worker.h"

/* Commands that serve: their configuration is read first, in a child. */
static int configured(const char *command, int argc, char **argv,
                      int (*serve)(const struct config *)) {
  struct config config;
  struct config_call call = {.command = command, .argc = argc, .argv = argv};
  char why[256];
  int status;
  if (config_load(&call, &config, &status, why)) {
    if (why[0]) fprintf(stderr, "fluo: %s\n", why);
    return status;
  }
  status = serve(&config);
  config_deinit(&config);
  return status;
}

static int version(void) {
  printf("fluo %s\n", FLUO_VERSION);
  return fflush(stdout) ? 1 : 0;
}

/* `fluo config show`: in the bounded child, for the file is Lua. */
static int show(int argc, char **argv) {
  struct config_call call = {.command = "config", .argc = argc, .argv = argv};
  return config_show(&call);
}

static void on_cpu_limit(int number) {
  static const char text[] =
      "fluo: a rule file took more than 10 s of CPU to load, or specs more than 60 s: does one loop?\n";
  (void)number;
  if (write(STDERR_FILENO, text, sizeof text - 1) < 0) _exit(2);
  _exit(1);
}

/* `fluo check` evaluates rule files in this very process, and `fluo test` specs; they serve nothing, and may not run
 * for ever. One test that loops is stopped long before that, by Lua; here ends what Lua cannot stop. */
static void limit_cpu(rlim_t seconds) {
  struct rlimit limit = {.rlim_cur = seconds, .rlim_max = seconds + 2};
  signal(SIGXCPU, on_cpu_limit);
  setrlimit(RLIMIT_CPU, &limit);
}

/* Whoever started us may have closed them, and the next descriptors that we open would take their numbers:
 * violations would be written into a socket of our own. Read-only, so that what is written fails, and is counted. */
static bool open_standard(void) {
  int fd;
  do fd = open("/dev/null", O_RDONLY);
  while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd > STDERR_FILENO) close(fd);
  return fd >= 0;
}

/* Until the agent takes signals itself it has taken nothing else either: there is nothing to drain. Its children
 * die with it. */
static void on_early_signal(int number) {
  (void)number;
  _exit(0);
}

static int run(int argc, char **argv) {
  signal(SIGTERM, on_early_signal);
  signal(SIGINT, on_early_signal);
  signal(SIGHUP, SIG_IGN);          /* the agent reloads at it; what it has not read yet is new */
  return configured("run", argc, argv, agent_run);
}

/* Those that ask the agent, or look through a file, run no rules in this process, and take the time it takes. */
static bool runs_no_rules(const char *command) {
  static const char *const commands[] = {"record", "fields", "repl", "query", "tune", "incidents", "show", "tail",
                                         "ack", "resolve", "silence", "feedback"};
  size_t at = 0, count = sizeof commands / sizeof *commands;
  while (at < count && strcmp(command, commands[at])) at++;
  return at < count;
}

int main(int argc, char **argv) {
  const char *command = argc > 1 ? argv[1] : "";
  if (strcmp(command, WORKER_RULES) == 0) return worker_main(argc, argv);
  if (strcmp(command, POSTROOM) == 0) return postroom_main(argc, argv);
  if (strcmp(command, ERRAND) == 0) return errand_main(argc, argv);
  if (strcmp(command, "--internal-specs") == 0) return worker_script("fluo.testing.required", argc, argv, NULL);
  if (strcmp(command, "--internal-config") == 0) return worker_script("fluo.config", argc, argv, NULL);
  if (!open_standard()) return 1;
  if (strcmp(command, "--internal-tune") == 0) return configured("explain", argc - 2, argv + 2, tune_pass);
  if (strcmp(command, "--internal-comparisons") == 0) {
    limit_cpu(10);
    return worker_script("fluo.cli.comparisons", argc, argv, "fluo: the rules need more than 64 MiB of memory");
  }
  signal(SIGPIPE, SIG_IGN);
  bool help =
      argc > 2 && (strcmp(argv[argc - 1], "--help") == 0 || strcmp(argv[argc - 1], "-h") == 0);
  if (!help && strcmp(command, "run") == 0) return run(argc - 2, argv + 2);
  if (!help && strcmp(command, "replay") == 0)
    return configured("replay", argc - 2, argv + 2, replay_run);
  if (!help && strcmp(command, "explain") == 0)
    return configured("explain", argc - 2, argv + 2, explain_run);
  if (strcmp(command, "version") == 0 || strcmp(command, "--version") == 0) return version();
  if (!help && argc > 2 && strcmp(command, "config") == 0 && strcmp(argv[2], "show") == 0)
    return show(argc - 3, argv + 3);
  if (!runs_no_rules(command)) limit_cpu(strcmp(command, "test") == 0 ? 60 : 10);
  return worker_script("fluo.cli", argc, argv, "fluo: the rules (or specs) need more than 64 MiB of memory");
}
