/* Seccomp filters in plain BPF.
 *
 * The program loads the architecture (another one could give the same numbers other meanings: it is
 * refused whole), then the number, and compares it with each line of the stage's table; a line may also ask
 * for something of the call's first arguments. Only registers are looked at, never memory, so there is
 * nothing to race with. Nothing is allocated; the kernel copies the program. */
#include "seccomp.h"

#include <assert.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define SECCOMP_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define SECCOMP_ARCH AUDIT_ARCH_AARCH64
#endif

#if defined(__SANITIZE_ADDRESS__)
#define SECCOMP_SKIP 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SECCOMP_SKIP 1
#endif
#endif

#if !defined(SECCOMP_ARCH) || defined(SECCOMP_SKIP)

int seccomp_enter(enum seccomp_stage stage) {
  (void)stage;
  return -ENOSYS;
}

#else

enum test { ALWAYS, EQUAL, HAS_BITS };
enum { STAGE_LOAD = 1u << SECCOMP_LOAD, STAGE_WORK = 1u << SECCOMP_WORK, STAGE_BOTH = STAGE_LOAD | STAGE_WORK };

/* One call: in which stages the line stands, what is done, and what is asked of which argument. */
struct line {
  uint32_t number, stages, action;
  enum test test;
  uint32_t argument, operand;
};

#define ALLOW(name, stages)               {__NR_##name, (stages), SECCOMP_RET_ALLOW, ALWAYS, 0, 0}
#define ALLOW_IF(name, stages, test, n, operand) \
  {__NR_##name, (stages), SECCOMP_RET_ALLOW, (test), (n), (uint32_t)(operand)}
#define KILL(name, stages)                {__NR_##name, (stages), SECCOMP_RET_KILL_PROCESS, ALWAYS, 0, 0}

static const struct line lines[] = {
  /* The hot ones first: the program is read from the top at every call. */
  ALLOW(read, STAGE_BOTH),
  ALLOW(write, STAGE_BOTH),
  ALLOW_IF(mmap, STAGE_BOTH, HAS_BITS, 3, MAP_ANONYMOUS),
  ALLOW(munmap, STAGE_BOTH),
  ALLOW(mprotect, STAGE_BOTH),            /* the JIT; a read-only shared mapping stays read-only */
  ALLOW(mremap, STAGE_BOTH),
  ALLOW(madvise, STAGE_BOTH),
  ALLOW(brk, STAGE_BOTH),
  ALLOW(futex, STAGE_BOTH),
  ALLOW(getrandom, STAGE_BOTH),           /* the JIT, too */
  ALLOW(clock_gettime, STAGE_BOTH),       /* where the kernel's vDSO cannot answer by itself */
  ALLOW(gettimeofday, STAGE_BOTH),
  ALLOW(rt_sigreturn, STAGE_BOTH),
  ALLOW(exit_group, STAGE_BOTH),
  ALLOW(exit, STAGE_BOTH),
  ALLOW(recvmsg, STAGE_LOAD),             /* takes each worker's socket */
  ALLOW(sendto, STAGE_LOAD),
  ALLOW(recvfrom, STAGE_LOAD),
  ALLOW(pwrite64, STAGE_LOAD),
  ALLOW(close, STAGE_LOAD),
  ALLOW(dup3, STAGE_LOAD),
#ifdef __NR_dup2
  ALLOW(dup2, STAGE_LOAD),
#endif
  ALLOW(getppid, STAGE_LOAD),
  ALLOW(getpid, STAGE_LOAD),
  ALLOW(set_robust_list, STAGE_LOAD),
  ALLOW_IF(setpriority, STAGE_LOAD, EQUAL, 0, PRIO_PROCESS),
  ALLOW_IF(clone, STAGE_LOAD, EQUAL, 0, CLONE_PARENT | SIGCHLD),
  ALLOW_IF(prctl, STAGE_LOAD, EQUAL, 0, PR_SET_PDEATHSIG),
  ALLOW_IF(prctl, STAGE_LOAD, EQUAL, 0, PR_SET_NAME),
  ALLOW_IF(prctl, STAGE_LOAD, EQUAL, 0, PR_SET_NO_NEW_PRIVS),
  ALLOW(seccomp, STAGE_LOAD),
  KILL(execve, STAGE_BOTH),
  KILL(execveat, STAGE_BOTH),
  KILL(socket, STAGE_BOTH),
  KILL(connect, STAGE_BOTH),
  KILL(ptrace, STAGE_BOTH),
  KILL(process_vm_writev, STAGE_BOTH),
  KILL(clone, STAGE_WORK),
#ifdef __NR_fork
  KILL(fork, STAGE_BOTH),
  KILL(vfork, STAGE_BOTH),
#endif
};

enum { LINES = sizeof lines / sizeof lines[0], PROGRAM_MAX = 8 + 6 * LINES };

struct program { struct sock_filter code[PROGRAM_MAX]; uint16_t count; };

static void emit(struct program *p, uint32_t code, uint32_t k, uint32_t jt, uint32_t jf) {
  assert(p->count < PROGRAM_MAX);
  p->code[p->count++] = (struct sock_filter){(uint16_t)code, (uint8_t)jt, (uint8_t)jf, k};
}

static void emit_load(struct program *p, size_t offset) {
  emit(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

/* The low word of an argument: both machines are little-endian, and the operands are small. */
static void emit_line(struct program *p, const struct line *line) {
  bool tested = line->test != ALWAYS;
  emit(p, BPF_JMP | BPF_JEQ | BPF_K, line->number, 0, tested ? 4 : 1);
  if (tested) {
    uint32_t jump = line->test == EQUAL ? BPF_JEQ : BPF_JSET;
    emit_load(p, offsetof(struct seccomp_data, args) + line->argument * sizeof(uint64_t));
    emit(p, BPF_JMP | jump | BPF_K, line->operand, 0, 1);
  }
  emit(p, BPF_RET | BPF_K, line->action, 0, 0);
  if (tested) emit_load(p, offsetof(struct seccomp_data, nr));
}

static void program_build(struct program *p, enum seccomp_stage stage) {
  p->count = 0;
  emit_load(p, offsetof(struct seccomp_data, arch));
  emit(p, BPF_JMP | BPF_JEQ | BPF_K, SECCOMP_ARCH, 1, 0);
  emit(p, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
  emit_load(p, offsetof(struct seccomp_data, nr));
  for (size_t i = 0; i < LINES; i++)
    if (lines[i].stages & 1u << stage) emit_line(p, &lines[i]);
  emit(p, BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM, 0, 0);
}

int seccomp_enter(enum seccomp_stage stage) {
  struct program p;
  program_build(&p, stage);
  struct sock_fprog fprog = {.len = p.count, .filter = p.code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return -errno;
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &fprog)) return -errno;
  return 0;
}

#endif
