/* Gives a fuzz target what was found before, without the fuzzer: each file named on the command line
 * is one input, and no bytes are the first. Built as the specs under sanitizers are, so it needs no
 * compiler of its own; a target that finds something aborts. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input lies alone in its block, so that the sanitizer sees a byte read past it. */
static void give(const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END)) goto err;
  size_t size = (size_t)ftell(file);
  uint8_t *data = malloc(size);
  rewind(file);
  if ((size && !data) || fread(data, 1, size, file) != size) goto err;
  fclose(file);
  fprintf(stderr, "%s\n", path);
  LLVMFuzzerTestOneInput(data, size);
  free(data);
  return;
err:
  perror(path);
  exit(1);
}

int main(int argc, char **argv) {
  LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
  for (int i = 1; i < argc; i++) give(argv[i]);
  return 0;
}
