/* The lives of the study's two processes.
 *
 * Good path: the rule process is started, says LOADED and leaves its intermediate form in the memfd; it is
 * asked for a worker, says FORKED, and the worker's socket joins those that are polled.
 *
 * A worker that dies: it is waited for, what it had still sent is taken, the pulse page says whose code it
 * was running, and another one is asked for. A rule process that dies: the worker goes on; another is started
 * from the same texts, and is good only if its intermediate form is the same to the byte, for its workers
 * must mean the same by every number. If it is another and there is no worker left, the study is lost. What fails for
 * want of descriptors, processes or memory is tried again at every tick, for STUDY_WITHOUT_NS.
 *
 * Both are our children and are waited for by pid, here and nowhere else; a death is noticed by the end of
 * its socket, which comes right before. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "err.h"
#include "heap.h"
#include "study_inside.h"
#include "worker.h"

/* Workers in a row that died before any reply: beyond it something is wrong with all of them. */
enum { DEATHS_MAX = 50 };
#define SETTLED_NS 1000000000ull

static void enter(struct study *s, enum study_state state) {
  s->state = state;
  s->waited_ns = 0;
}

/* ---- losing -------------------------------------------------------------------------------------- */

static void lose(struct study *s, const char *why);

/* No descriptor, no process to be had: a crowd of connections may take them all, and leave again. study_tick asks
 * again and jobs wait meanwhile, for a while. */
static void want_later(struct study *s, const char *why) {
  if (!s->troubled && !s->opening) s->calls.on_trouble(s->calls.ctx, why);
  s->troubled = true;
  if (s->now_ns - s->wanted_ns >= STUDY_WITHOUT_NS) lose(s, why);
}

static void want_start_later(struct study *s) {
  snprintf(s->why, sizeof s->why, "the rule process cannot be started: %s", strerror(errno));
  want_later(s, s->why);
}

static void lose(struct study *s, const char *why) {
  if (s->lost) return;
  if (s->opening) {
    s->failure = FLUO_EDIED;
    snprintf(s->why, sizeof s->why, "%s", why);
    return;
  }
  s->lost = true;
  study_queue_rewind(&s->queue);
  for (struct study_job *job = s->queue.head; job; job = job->next) job->left = 0;
  s->calls.on_lost(s->calls.ctx, why);
}

void study_drop_rules(struct study *s, int failure, const char *why) {
  enum study_state before = s->state;
  study_end(&s->process);
  if (before == STUDY_FORKING) study_end_group(s->pgid);
  if (s->fork_fd >= 0) close(s->fork_fd);
  if (s->ir_fd >= 0) close(s->ir_fd);
  s->fork_fd = s->ir_fd = -1;
  enter(s, STUDY_GONE);
  if (s->opening) {
    s->failure = failure;
    if (why != s->why) snprintf(s->why, sizeof s->why, "%s", why);
    return;
  }
  if (before == STUDY_LOADING && !s->worker.pid) {
    /* Rules that are others now will be so at the next try; all else may pass. */
    if (failure == FLUO_EINVALID) lose(s, why);
    else want_later(s, why);
    return;
  }
  /* One that was loaded gets a successor at once. If that one fails, the next try is when a worker is
   * wanted: until then nothing is lost. */
  s->calls.on_trouble(s->calls.ctx, why);
  if (before == STUDY_LOADING || study_start_rules(s) == 0 || s->worker.pid) return;
  want_start_later(s);
}

/* ---- the rule process ---------------------------------------------------------------------------- */

/* Its end says more than its beginning. What is on the page may be anything: it is cut, and printable. */
void study_say_place(struct study *s, int n) {
  enum { SHOWN = 160 };
  char place[FLUO_PLACE_BYTES];
  memcpy(place, s->pulse->place, sizeof place);
  size_t bytes = strnlen(place, sizeof place - 1), from = bytes > SHOWN ? bytes - SHOWN : 0;
  place[bytes] = '\0';
  for (char *p = place; *p; p++)
    if ((unsigned char)*p < ' ' || *p == 0x7f) *p = '?';
  if (bytes) snprintf(s->why + n, sizeof s->why - (size_t)n, ", at last in %s%s", from ? "…" : "", place + from);
}

int study_start_rules(struct study *s) {
  struct study_spawn how = {.exe = s->options.exe,
                            .rules_path = s->options.rules_path,
                            .specs = s->options.specs,
                            .explain = s->options.explain,
                            .actions = s->options.actions,
                            .skip_broken = s->options.skip_broken,
                            .renamed = s->options.renamed,
                            .explicit_ok = s->options.explicit_ok,
                            .json = s->options.json_diagnostics,
                            .lines = s->options.line_diagnostics,
                            .heap_bytes = s->options.heap_bytes,
                            .arena_fd = s->options.arena_fd,
                            .pulse_fd = s->pulse_fd,
                            .diagnostics_fd = s->options.diagnostics_fd,
                            .again = !s->opening,
                            .last_fd = s->texts_fd};
  int texts_fd;
  if (s->opening && s->options.last) how.last_fd = s->options.last->texts_fd;
  s->pulse->place[0] = '\0';
  int err = study_spawn_rules(&how, &s->process, &s->ir_fd, &texts_fd);
  if (err) return err;
  if (s->opening) s->texts_fd = texts_fd;
  s->pgid = s->process.pid;
  enter(s, STUDY_LOADING);
  return study_poll_add(s, s->process.fd, STUDY_TAG_CONTROL);
}

/* Reads the memfd; whatever is still writing to it, we get some bytes of the size said, or fail. */
static int read_ir(struct study *s, uint64_t bytes, void **out) {
  if (bytes > STUDY_IR_BYTES_MAX) return FLUO_ETOOLARGE;
  uint8_t *ir = heap_alloc((size_t)bytes);
  if (!ir) return FLUO_ENOMEM;
  for (size_t at = 0; at < bytes;) {
    ssize_t n = pread(s->ir_fd, ir + at, (size_t)bytes - at, (off_t)at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      heap_free(ir);
      return FLUO_EIO;
    }
    at += (size_t)n;
  }
  *out = ir;
  return 0;
}

/* The first intermediate form goes to the owner; every later one must be the same. */
static int take_ir(struct study *s, uint64_t bytes) {
  uint8_t hash[16];
  void *ir;
  int err = read_ir(s, bytes, &ir);
  if (err) return err;
  hash128(&s->ir_key, ir, (size_t)bytes, hash);
  if (s->opening) {
    s->ir = ir;
    s->ir_bytes = (size_t)bytes;
    memcpy(s->ir_hash, hash, sizeof hash);
    return 0;
  }
  heap_free(ir);
  return memcmp(hash, s->ir_hash, sizeof hash) ? FLUO_EINVALID : 0;
}

static void on_loaded(struct study *s, const struct fluo_loaded *loaded) {
  s->load_errors = loaded->errors;
  if (loaded->ir_bytes == 0) {
    study_drop_rules(s, FLUO_EINVALID, "the rules did not load");
    return;
  }
  int err = take_ir(s, loaded->ir_bytes);
  close(s->ir_fd);
  s->ir_fd = -1;
  /* Others load from it: it says from now on what it says now. */
  const int seals = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
  if (!err && s->opening && fcntl(s->texts_fd, F_ADD_SEALS, seals)) err = FLUO_EIO;
  if (err) {
    study_drop_rules(s, err, err == FLUO_EINVALID ? "the same texts gave other rules" : err_text(err));
    return;
  }
  enter(s, STUDY_READY);
  if (!s->worker.pid) study_want_worker(s);
}

/* A pid that is no child of ours would have us kill a stranger one day. */
static void on_forked(struct study *s, const struct fluo_forked *forked) {
  int fd = s->fork_fd;
  s->fork_fd = -1;
  enter(s, STUDY_READY);
  if (forked->pid > 0 && study_is_child(forked->pid, s->process.pid) && !study_poll_add(s, fd, STUDY_TAG_WORKER)) {
    s->worker = (struct study_process){forked->pid, fd};
    s->replies_of_worker = 0;
    s->worker_ns = s->now_ns;
    s->watch = (struct study_watch){0};
    s->troubled = false;
    return;
  }
  close(fd);
  if (!s->opening) {
    snprintf(s->why, sizeof s->why, "no worker can be forked: %s", strerror(forked->pid < 0 ? -forked->pid : ECHILD));
    want_later(s, s->why);
  } else if (++s->barren > DEATHS_MAX)
    study_drop_rules(s, FLUO_EIO, "no worker can be forked: is there a limit on processes?");
}

void study_on_control(struct study *s) {
  if (!s->process.pid) return;                 /* it was found dead since the loop was told of it */
  union { uint32_t message; struct fluo_loaded loaded; struct fluo_forked forked; } m = {0};
  ssize_t n = recv(s->process.fd, &m, sizeof m, MSG_DONTWAIT | MSG_TRUNC);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n == sizeof m.loaded && s->state == STUDY_LOADING && m.message == FLUO_MESSAGE_LOADED) {
    on_loaded(s, &m.loaded);
  } else if (n == sizeof m.forked && s->state == STUDY_FORKING && m.message == FLUO_MESSAGE_FORKED) {
    on_forked(s, &m.forked);
  } else if (n == sizeof m.message && s->state == STUDY_PINGED && m.message == FLUO_MESSAGE_PING) {
    s->stats.pings++;
    enter(s, STUDY_READY);
    if (!s->worker.pid) study_want_worker(s);
  } else {
    /* Its end, or nonsense, which is no better. */
    int status = n <= 0 ? study_reap(&s->process) : 0;
    bool memory = WIFEXITED(status) && WEXITSTATUS(status) == WORKER_EXIT_MEMORY;
    if (memory)
      study_say_place(s, snprintf(s->why, sizeof s->why, "the rules need more than %llu KiB of memory",
                                  (unsigned long long)s->options.heap_bytes >> 10));
    study_drop_rules(s, FLUO_EDIED, memory ? s->why : "the rule process died");
  }
}

void study_want_worker(struct study *s) {
  if (s->lost || s->state == STUDY_LOADING || s->state == STUDY_PINGED || s->state == STUDY_FORKING) return;
  if (s->state == STUDY_GONE) {
    if (study_start_rules(s)) want_start_later(s);
    return;
  }
  memset(s->pulse, 0, sizeof *s->pulse);
  int err = study_ask_fork(&s->process, &s->fork_fd);
  if (err == FLUO_EDIED) study_drop_rules(s, FLUO_EDIED, "the rule process died");
  else if (err) want_later(s, "there is no descriptor for a worker's socket");
  else enter(s, STUDY_FORKING);
}

void study_ping_rules(struct study *s) {
  uint32_t ping = FLUO_MESSAGE_PING;
  if (s->state != STUDY_READY) return;
  if (send(s->process.fd, &ping, sizeof ping, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) enter(s, STUDY_PINGED);
}

/* ---- the worker ---------------------------------------------------------------------------------- */

/* What it had sent before its end. */
static void drain(struct study *s) {
  for (int i = 0; i < STUDY_UNANSWERED_MAX; i++) {
    ssize_t n = recv(s->worker.fd, s->inbox, FLUO_MESSAGE_BYTES_MAX, MSG_DONTWAIT | MSG_TRUNC);
    if (n <= 0 || n > FLUO_MESSAGE_BYTES_MAX || !study_take(s, (size_t)n)) return;
  }
}

/* What happened, by how the worker ended. false: nothing that is worth a word. */
static bool fault_of(enum study_cause cause, int status, enum study_fault *fault, bool *blame) {
  *blame = true;
  *fault = STUDY_FAULT_CRASH;
  if (cause == STUDY_OVERRAN) *fault = STUDY_FAULT_CPU;
  else if (cause == STUDY_BABBLED) *fault = STUDY_FAULT_NONSENSE;
  else if (WIFEXITED(status) && WEXITSTATUS(status) == WORKER_EXIT_FULL) return false;
  else if (WIFEXITED(status) && WEXITSTATUS(status) == WORKER_EXIT_MEMORY) *fault = STUDY_FAULT_MEMORY;
  else if (cause == STUDY_STALLED) *fault = STUDY_FAULT_STALL, *blame = false;
  /* SIGKILL from outside: an operator, the kernel out of memory. A rule cannot do that. */
  else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) *blame = false;
  return true;
}

/* Whose code ran, if any did, and if the page can be believed: the oldest unanswered job asks that rule. */
static uint32_t suspect(const struct study *s, enum study_cause cause) {
  const struct study_job *job = study_queue_running(&s->queue);
  struct fluo_pulse pulse = *s->pulse;
  if (!job || pulse.running != 1) return UINT32_MAX;
  if (cause == STUDY_OVERRAN && pulse.call != s->watch.call) return UINT32_MAX;   /* it had just ended */
  if (pulse.rule >= ruleset_ir(s->rules)->rules || !study_job_asks(job, s->rules, pulse.rule)) return UINT32_MAX;
  return pulse.rule;
}

static void count_fault(struct study *s, enum study_fault fault) {
  if (fault == STUDY_FAULT_CPU) s->stats.kills_cpu++;
  else if (fault == STUDY_FAULT_MEMORY) s->stats.kills_memory++;
  else if (fault == STUDY_FAULT_STALL) s->stats.stalls++;
  else s->stats.crashes++;
}

/* The job that ran goes again without the rule; after three faults every job does. */
static void punish(struct study *s, uint32_t rule, enum study_fault fault) {
  struct study_job *running = study_queue_running(&s->queue);
  s->barren = 0;
  study_job_blame(running, s->rules, rule);
  s->calls.on_fault(s->calls.ctx, rule, fault);
  if (!study_blame_note(&s->blame, rule, s->now_ns)) return;
  for (struct study_job *job = s->queue.head; job; job = job->next) study_job_blame(job, s->rules, rule);
  s->calls.on_quarantine(s->calls.ctx, rule);
}

/* Nobody is to blame; but a job that no worker survives must not be sent for ever. */
static void shrug(struct study *s, enum study_fault fault) {
  struct study_job *running = study_queue_running(&s->queue);
  s->calls.on_fault(s->calls.ctx, UINT32_MAX, fault);
  /* One that had nothing to do and stood for a while was fit to answer. */
  if (!running && s->now_ns - s->worker_ns > SETTLED_NS) s->barren = 0;
  if (s->replies_of_worker || ++s->barren % STUDY_BARREN_MAX) return;
  if (running) {
    running->left = 0;
    s->stats.given_up++;
  }
  if (s->barren >= DEATHS_MAX) lose(s, "workers die before they answer");
}

void study_drop_worker(struct study *s, enum study_cause cause) {
  enum study_fault fault;
  bool blame;
  int status = study_reap(&s->worker);
  if (cause != STUDY_BABBLED) drain(s);
  close(s->worker.fd);
  s->worker.fd = -1;
  s->ping = 0;
  s->stats.restarts++;
  if (fault_of(cause, status, &fault, &blame)) {
    uint32_t rule = blame ? suspect(s, cause) : UINT32_MAX;
    count_fault(s, fault);
    if (rule == UINT32_MAX) shrug(s, fault);
    else punish(s, rule, fault);
  }
  study_queue_rewind(&s->queue);
  s->wanted_ns = s->now_ns;
  study_want_worker(s);
}
