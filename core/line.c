/* Line editing by libedit (BSD licence), looked for when the first line is read and never needed: a machine without it
 * gets plain lines, which is for the caller to do. Every Debian that has clang or a database client has it.
 *
 * libedit calls back without a context, for there is one terminal: so what it is to complete with lies in the one
 * variable here. The words are the caller's; a line is libedit's, given back with the next call. */
#include "line.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

/* libedit's names, as its readline.h declares them. */
struct editor {
  char *(*readline)(const char *prompt);
  int (*add_history)(const char *line);
  char **(*matches)(const char *text, char *(*next)(const char *text, int state));
  char *line;
  const char *words, *at; /* the caller's, each with a NUL, an empty one at the end */
};

static struct editor editor;

/* The next word that begins with the text; the memory is libedit's, which frees it. */
static char *next_word(const char *text, int state) {
  if (!state) editor.at = editor.words;
  while (editor.at && *editor.at) {
    const char *word = editor.at;
    editor.at += strlen(word) + 1;
    if (!strncmp(word, text, strlen(text))) return strdup(word);
  }
  return NULL;
}

/* Never files, which is what it would offer otherwise. */
static char **complete(const char *text, int start, int end) {
  (void)start, (void)end;
  int *over = dlsym(RTLD_DEFAULT, "rl_attempted_completion_over");
  if (over) *over = 1;
  return editor.matches(text, next_word);
}

/* A function or a variable of the library, into a pointer of its type. */
static int find(void *library, const char *name, void *to) {
  void *symbol = dlsym(library, name);
  memcpy(to, &symbol, sizeof symbol);
  return symbol != NULL;
}

int fluo_line_open(void) {
  static const char breaks[] = " \t\n\"'{}()[]=,:*+<>|&!";
  char **(**attempted)(const char *, int, int);
  const char **separators;
  int *append;
  void *library = dlopen("libedit.so.2", RTLD_NOW | RTLD_GLOBAL);
  if (!library) return 0;
  if (!find(library, "readline", &editor.readline) || !find(library, "add_history", &editor.add_history) ||
      !find(library, "rl_completion_matches", &editor.matches) ||
      !find(library, "rl_attempted_completion_function", &attempted) ||
      !find(library, "rl_completer_word_break_characters", &separators) ||
      !find(library, "rl_completion_append_character", &append))
    return 0;
  *attempted = complete;
  *separators = breaks;
  *append = '\0';
  return 1;
}

const char *fluo_line_read(const char *prompt, const char *words) {
  free(editor.line);
  editor.words = words;
  editor.line = editor.readline(prompt);
  if (editor.line && *editor.line) editor.add_history(editor.line);
  return editor.line;
}
