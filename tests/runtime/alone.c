/* seen_spikes.c in a program of its own, for processors without Python.
 *
 * stdin: seen_header, the numbers of elements, the arrays, and then for every window
 * its event frames and its intensity frames. stdout: for every window the logits and
 * the spikes by layer, of the fast form and then of the plain one. */

#include "seen_spikes.c"

#include <stdio.h>
#include <stdlib.h>

static void check(const char *wrong) {
  if (!wrong) return;
  fprintf(stderr, "%s\n", wrong);
  exit(1);
}

/* Memory at a multiple of 64. */
static void *allocate(size_t bytes) {
  void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
  if (!memory) check("no memory");
  return memory;
}

static real *read_reals(uint64_t count) {
  real *x = allocate(count * sizeof(real));
  if (fread(x, sizeof(real), count, stdin) != count) check("stdin ends too early");
  return x;
}

static void write_result(const real *logits, size_t num, const uint64_t *fired) {
  fwrite(logits, sizeof(real), num, stdout);
  fwrite(fired, sizeof(uint64_t), NUM_COUNTS, stdout);
}

int main(void) {
  seen_header h;
  uint64_t counts[NUM_ARRAYS], fired[NUM_COUNTS];
  if (fread(&h, sizeof h, 1, stdin) != 1) check("no header");
  if (fread(counts, sizeof counts, 1, stdin) != 1) check("no numbers of elements");
  check(seen_check(&h, counts));
  const real *arrays[NUM_ARRAYS];
  for (size_t i = 0; i < NUM_ARRAYS; i++) arrays[i] = read_reals(counts[i]);
  seen_arrays a;
  memcpy(&a, arrays, sizeof arrays);
  void *packed_memory = allocate(seen_packed_bytes(&h));
  void *scratch_memory = allocate(seen_scratch_bytes(&h));
  void *plain_memory = allocate(seen_plain_bytes(&h));
  check(seen_pack(&h, &a, packed_memory));
  const size_t pixels = h.image_size * h.image_size;
  real *logits = allocate(h.num_classes * sizeof(real));
  for (int next; (next = getchar()) != EOF;) {
    ungetc(next, stdin);
    const real *events = read_reals(h.num_event_frames * pixels);
    const real *intensities = read_reals(h.num_intensity_frames * pixels);
    check(seen_window(&h, &a, packed_memory, scratch_memory, events, intensities,
                      logits, fired));
    write_result(logits, h.num_classes, fired);
    check(seen_plain(&h, &a, plain_memory, events, intensities, logits, fired));
    write_result(logits, h.num_classes, fired);
  }
  return 0;
}
