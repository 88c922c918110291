/* SEEN on a CPU: the frames of one window -> logits and spike counts.
 *
 * After training about 2 % of the neurons fire in a time step. From LIF1 on, no weight
 * is multiplied here: a spike adds a row of weights, and a silent neuron adds nothing.
 * The arrays are those of `fold` in seen_runtime.py (seen.npz), the network is the
 * published one, for images of H x H. Its conv0, which makes three channels of the
 * intensity frames, is no step here: it is linear, so `intensity`, `hidden` and
 * `deep_bias` have it in them.
 *
 *     S   intensity frames -> attention w                               attend
 *         -> first stage -> conv2_f2 -> conv3_f2 -> J_s                 look
 *     T   event frames -> first stage, weighed by w or, where T attends
 *         to each event frame by scores of its own, by theirs -> LIF1   see
 *         -> conv2_f2 -> LIF2 -> conv3_f2 -> LIF3                       follow
 *         LIF3 + J_s -> fc1 -> LIF4 -> fc2 -> LIF5 -> logits            classify
 *
 * The first stage is conv1_f2, conv1_f3, conv1_f4 and conv1_cat: nothing between them
 * is nonlinear, so they are one kernel of 7 x 7, stride 2, that depends on w alone.
 *
 * Positions. Row r of the n rows that conv3_f2 leaves reads rows 4 r - 1 to 4 r + 1 of
 * conv2_f2, and so rows 8 r - 3 to 8 r + 3 of the first stage. Rows r and r + 1 share
 * none, so the first stage falls into n x n blocks of 7 x 7 places; each block has 3 x 3
 * places of conv2_f2 and one of conv3_f2. Negative rows are padding: no neuron is there.
 *
 * There are two forms. `seen_plain` is the definition: scalars, in the order of the
 * equations that `fold` leaves. `seen_window` is what runs. Tests hold one against the other.
 *
 * C11 with the vector extensions of GCC (7 or newer) and Clang; needs libm alone. It
 * allocates nothing and keeps no state: the caller owns all memory. Every sum has one
 * order, whatever the width of the machine's vectors; only where a product is fused
 * with its sum do machines differ. Compile with -DREAL=double for float64, and never
 * with -ffast-math.
 */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef REAL
#define REAL float
#endif
typedef REAL real;

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the lowest bit must lie in the first byte: little-endian processors only"
#endif

/* ================================================================== the interface */

enum {
  VERSION = 3,
  SCALES = 3,
  TAPS = 7, /* rows of the first stage's kernel; also of a block's places */
  AREA = TAPS * TAPS,
  MARGIN = TAPS / 2, /* rows of padding on each side of an image */
  NINE = 3 * 3,      /* taps of conv2_f2 and of conv3_f2 */
  FIRST = 64,        /* channels: of the first stage, */
  SECOND = 256,      /* of conv2_f2, */
  THIRD = 512,       /* of conv3_f2, */
  FOURTH = 256,      /* of fc1, */
  HIDDEN = SCALES * 8, /* and of the attention's hidden layer */
};
enum { MEAN_MEMBRANE, LAST_MEMBRANE, LAST_SPIKE, MEAN_SPIKE, NUM_READOUTS };
/* What is counted in a window: the spikes of each layer, and the weights that spikes add
 * to sums. Those of J_s in fc1 are the same at every time step and count once. */
enum { J_S, LIF1, LIF2, LIF3, LIF4, LIF5, OPERATIONS, NUM_COUNTS };

typedef struct {
  uint32_t version;    /* VERSION */
  uint32_t real_bytes; /* 4 or 8, as this file was compiled */
  uint32_t image_size; /* H */
  uint32_t num_event_frames, num_intensity_frames, num_classes; /* T, N, K */
  uint32_t readout;       /* of LIF5, as above */
  uint32_t own_attention; /* 1 if T attends to each event frame by its own scores */
  double decay, threshold; /* of every neuron */
} seen_header;

typedef struct {           /* row-major; n * n blocks */
  const real *moments;     /* (H, 7), share of a scale's rows whose tap reads the row */
  const real *hidden;      /* (N * 49, 24) */
  const real *hidden_bias; /* (24) */
  const real *scores;      /* (24, 3) */
  const real *scores_bias; /* (3) */
  const real *event;       /* (3, 49 * 64), first stage of T by scale */
  const real *intensity;   /* (3, N * 49 * 64), first stage of S by scale */
  const real *deep;        /* (49 * 64, 512), conv2_f2 and conv3_f2 of S in one */
  const real *deep_bias;   /* (3, n * n * 512), what all biases of S come to */
  const real *conv2;       /* (9 * 64, 256) */
  const real *conv3;       /* (9 * 256, 512) */
  const real *fc1;         /* (n * n * 512, 256) */
  const real *fc1_bias;    /* (256) */
  const real *fc2;         /* (256, K) */
  const real *fc2_bias;    /* (K) */
  const real *event_hidden;      /* (49, 24); from here on for `own_attention` alone */
  const real *event_hidden_bias; /* (24) */
  const real *event_scores;      /* (24, 3) */
  const real *event_scores_bias; /* (3) */
} seen_arrays;

enum {
  MOST_ARRAYS = sizeof(seen_arrays) / sizeof(real *),
  NUM_ARRAYS = MOST_ARRAYS - 4, /* without those for `own_attention` */
};

/* Rows left by a convolution of that stride, padded by half its kernel. */
static size_t rows_left(size_t rows, size_t stride) {
  return (rows + stride - 1) / stride;
}

static size_t first_rows(const seen_header *h) { return rows_left(h->image_size, 2); }

static size_t block_rows(const seen_header *h) { /* n */
  return rows_left(rows_left(first_rows(h), 2), 4);
}

static size_t num_blocks(const seen_header *h) { return block_rows(h) * block_rows(h); }

/* Says what is wrong with a header, or NULL. */
static const char *check_header(const seen_header *h) {
  if (h->version != VERSION) return "version: not that of this file";
  if (h->real_bytes != sizeof(real)) return "real_bytes: not as compiled";
  if (h->image_size < 16 || h->image_size > 170) return "image_size: not 16 to 170";
  if (8 * (block_rows(h) - 1) + MARGIN >= first_rows(h))
    return "image_size: the last block is cut off";
  if (h->num_event_frames - 1 >= 1000) return "num_event_frames: not 1 to 1000";
  if (h->num_intensity_frames - 1 >= 1000) return "num_intensity_frames: not 1 to 1000";
  if (h->num_classes - 1 >= 1000) return "num_classes: not 1 to 1000";
  if (h->readout >= NUM_READOUTS) return "readout: not known";
  if (!isfinite(h->decay)) return "decay: not a finite number";
  if (!(h->threshold >= 0)) return "threshold: a neuron would fire without a current";
  return NULL;
}

/* Says what is wrong with a header or the number of elements of an array, or NULL. */
const char *seen_check(const seen_header *h, const uint64_t counts[]) {
  const char *wrong = check_header(h);
  if (wrong) return wrong;
  const uint64_t n2 = num_blocks(h), taps = (uint64_t)h->num_intensity_frames * AREA;
  const uint64_t expected[MOST_ARRAYS] = {
      (uint64_t)h->image_size * TAPS,
      taps * HIDDEN,
      HIDDEN,
      HIDDEN * SCALES,
      SCALES,
      SCALES * AREA * FIRST,
      SCALES * taps * FIRST,
      AREA * FIRST * THIRD,
      SCALES * n2 * THIRD,
      NINE * FIRST * SECOND,
      NINE * SECOND * THIRD,
      n2 * THIRD * FOURTH,
      FOURTH,
      (uint64_t)FOURTH * h->num_classes,
      h->num_classes,
      AREA * HIDDEN,
      HIDDEN,
      HIDDEN * SCALES,
      SCALES,
  };
  const size_t num_arrays = h->own_attention ? MOST_ARRAYS : NUM_ARRAYS;
  for (size_t i = 0; i < num_arrays; i++)
    if (counts[i] != expected[i]) return "arrays: another number of elements";
  return NULL;
}

/* Memory that the caller gave, handed out in order; without any, only counted. */
typedef struct {
  char *base;
  size_t used;
} arena;

static void *take(arena *memory, size_t count, size_t size) {
  const size_t at = memory->used;
  memory->used = (at + count * size + 63) / 64 * 64; /* whole lines of the cache */
  return memory->base ? memory->base + at : NULL;
}

/* =========================================================== what both forms share */

/* One neuron in one time step: V = decay V (1 - P) + X and P = V > threshold. */
static inline void step(const seen_header *h, real *v, uint8_t *p, real x) {
  *v = (*p ? 0 : (real)h->decay * *v) + x; /* also where V overflowed */
  *p = *v > (real)h->threshold;
}

/* out = sum over scales of w[s] in[s], each of `count` elements. */
static void weigh(real *out, const real *in, const real w[SCALES], size_t count) {
  for (size_t i = 0; i < count; i++)
    out[i] = w[0] * in[i] + w[1] * in[count + i] + w[2] * in[2 * count + i];
}

typedef struct {
  const real *hidden, *hidden_bias, *scores, *scores_bias; /* as in seen_arrays */
} scorer;

/* The attention w of the three scales: a softmax of scores, each of the mean of what
 * its scale sees. The mean is linear in the image X: what tap (y, x) reads is, on the
 * mean, sum_ij V[i, y] V[j, x] X[i, j], with V the moments. BatchNorm is in `hidden`. */
static void attend_by(const seen_header *h, const real *moments, scorer s,
                      const real *frames, size_t num, real w[SCALES]) {
  const size_t side = h->image_size;
  real hidden[HIDDEN], rows[256];
  memcpy(hidden, s.hidden_bias, sizeof hidden);
  for (size_t n = 0; n < num; n++)
    for (size_t y = 0; y < TAPS; y++) {
      memset(rows, 0, sizeof rows);
      for (size_t i = 0; i < side; i++)
        for (size_t j = 0; j < side; j++)
          rows[j] += moments[i * TAPS + y] * frames[(n * side + i) * side + j];
      for (size_t x = 0; x < TAPS; x++) {
        real mean = 0;
        for (size_t j = 0; j < side; j++) mean += rows[j] * moments[j * TAPS + x];
        const real *weights = s.hidden + ((n * TAPS + y) * TAPS + x) * HIDDEN;
        for (size_t k = 0; k < HIDDEN; k++) hidden[k] += mean * weights[k];
      }
    }
  memcpy(w, s.scores_bias, SCALES * sizeof(real));
  for (size_t k = 0; k < HIDDEN; k++)
    for (size_t i = 0; i < SCALES; i++)
      w[i] += (hidden[k] > 0 ? hidden[k] : 0) * s.scores[k * SCALES + i];
  real highest = w[0], sum = 0;
  for (size_t i = 1; i < SCALES; i++) highest = w[i] > highest ? w[i] : highest;
  for (size_t i = 0; i < SCALES; i++) sum += w[i] = (real)exp((double)(w[i] - highest));
  for (size_t i = 0; i < SCALES; i++) w[i] /= sum;
}

/* Of S: intensity frames (N, H, H). */
static void attend(const seen_header *h, const seen_arrays *a, const real *frames,
                   real w[SCALES]) {
  const scorer s = {a->hidden, a->hidden_bias, a->scores, a->scores_bias};
  attend_by(h, a->moments, s, frames, h->num_intensity_frames, w);
}

/* T's first stage for an event frame (H, H): a kernel (49 * 64), weighed by w or, where
 * T has scores of its own, by theirs. */
static void event_kernel(const seen_header *h, const seen_arrays *a, const real *frame,
                         const real w[SCALES], real *kernel) {
  real own[SCALES];
  memcpy(own, w, sizeof own);
  if (h->own_attention) {
    const scorer s = {a->event_hidden, a->event_hidden_bias, a->event_scores,
                      a->event_scores_bias};
    attend_by(h, a->moments, s, frame, 1, own);
  }
  weigh(kernel, a->event, own, AREA * FIRST);
}

/* fc2, LIF5 and its readout: spikes of LIF4 (T, 256) -> logits (K). Returns how many
 * spikes LIF5 fires. */
static uint64_t read_out(const seen_header *h, const seen_arrays *a,
                         const uint8_t *spikes, real *logits) {
  const size_t num = h->num_classes, length = h->num_event_frames;
  uint64_t total = 0;
  for (size_t k = 0; k < num; k++) {
    real v = 0, sum = 0;
    uint8_t p = 0;
    size_t fired = 0;
    for (size_t t = 0; t < length; t++) {
      real x = a->fc2_bias[k];
      for (size_t i = 0; i < FOURTH; i++)
        if (spikes[t * FOURTH + i]) x += a->fc2[i * num + k];
      step(h, &v, &p, x);
      sum += v;
      fired += p;
    }
    const real readouts[NUM_READOUTS] = {sum / length, v, p, (real)fired / length};
    logits[k] = readouts[h->readout];
    total += fired;
  }
  return total;
}

/* ================================================================== the plain form */

typedef struct { /* of every neuron: V and P */
  real *v;
  uint8_t *p;
} neurons;

static neurons at_rest(arena *memory, size_t count) {
  neurons some = {take(memory, count, sizeof(real)), take(memory, count, 1)};
  if (memory->base) {
    memset(some.v, 0, count * sizeof(real));
    memset(some.p, 0, count);
  }
  return some;
}

/* What the first stage gives at row y and column x of a block, or 0 in the padding:
 * frames (num, H, H) and kernel (num, 7, 7, 64) -> out (64). */
static void plain_first(const seen_header *h, size_t block, size_t y, size_t x,
                        const real *frames, size_t num, const real *kernel, real *out) {
  const long side = h->image_size, n = (long)block_rows(h);
  const long row = 8 * ((long)block / n) - MARGIN + (long)y; /* of the first stage */
  const long column = 8 * ((long)block % n) - MARGIN + (long)x;
  memset(out, 0, FIRST * sizeof(real));
  if (row < 0 || column < 0) return;
  for (size_t tap = 0; tap < num * AREA; tap++) {
    const long i = 2 * row - MARGIN + (long)(tap % AREA / TAPS); /* of the image */
    const long j = 2 * column - MARGIN + (long)(tap % TAPS);
    if (i < 0 || i >= side || j < 0 || j >= side) continue; /* padding */
    const real pixel = frames[((long)(tap / AREA) * side + i) * side + j];
    for (size_t c = 0; c < FIRST; c++) out[c] += pixel * kernel[tap * FIRST + c];
  }
}

/* Adds what a place of `in` spikes sends to `out` neurons, weights (in, out); returns
 * how many weights the spikes add. */
static uint64_t plain_add(real *x, const uint8_t *spikes, size_t in, const real *weights,
                          size_t out) {
  uint64_t operations = 0;
  for (size_t i = 0; i < in; i++) {
    for (size_t o = 0; o < out; o++) x[o] += spikes[i] * weights[i * out + o];
    operations += spikes[i] * out;
  }
  return operations;
}

static uint64_t plain_step(const seen_header *h, neurons some, size_t first,
                           size_t count, const real *x) {
  uint64_t fired = 0;
  for (size_t i = 0; i < count; i++) {
    step(h, &some.v[first + i], &some.p[first + i], x[i]);
    fired += some.p[first + i];
  }
  return fired;
}

static void plain_window(const seen_header *h, const seen_arrays *a, arena *memory,
                         const real *events, const real *intensities, real *logits,
                         uint64_t counts[NUM_COUNTS]) {
  const size_t blocks = num_blocks(h), num = h->num_intensity_frames;
  const size_t length = h->num_event_frames, pixels = h->image_size * h->image_size;
  real *spatial_kernel = take(memory, num * AREA * FIRST, sizeof(real));
  real *kernel = take(memory, AREA * FIRST, sizeof(real));
  real *bias = take(memory, blocks * THIRD, sizeof(real));
  uint8_t *fourth = take(memory, length * FOURTH, 1);
  neurons j_s = at_rest(memory, blocks * THIRD);
  neurons lif1 = at_rest(memory, blocks * AREA * FIRST);
  neurons lif2 = at_rest(memory, blocks * NINE * SECOND);
  neurons lif3 = at_rest(memory, blocks * THIRD);
  neurons lif4 = at_rest(memory, FOURTH);
  if (!memory->base) return;
  real w[SCALES], x[THIRD], first[FIRST];
  memset(counts, 0, NUM_COUNTS * sizeof *counts);

  attend(h, a, intensities, w);
  weigh(spatial_kernel, a->intensity, w, num * AREA * FIRST);
  weigh(bias, a->deep_bias, w, blocks * THIRD);

  for (size_t b = 0; b < blocks; b++) { /* S */
    memcpy(x, bias + b * THIRD, sizeof x);
    for (size_t place = 0; place < AREA; place++) {
      plain_first(h, b, place / TAPS, place % TAPS, intensities, num, spatial_kernel,
                  first);
      for (size_t c = 0; c < FIRST; c++)
        for (size_t o = 0; o < THIRD; o++)
          x[o] += first[c] * a->deep[(place * FIRST + c) * THIRD + o];
    }
    counts[J_S] += plain_step(h, j_s, b * THIRD, THIRD, x);
  }

  for (size_t t = 0; t < length; t++) { /* T */
    event_kernel(h, a, events + t * pixels, w, kernel);
    for (size_t b = 0; b < blocks; b++) {
      for (size_t place = 0; place < AREA; place++) {
        plain_first(h, b, place / TAPS, place % TAPS, events + t * pixels, 1, kernel,
                    first);
        const size_t at = (b * AREA + place) * FIRST;
        counts[LIF1] += plain_step(h, lif1, at, FIRST, first);
      }
      for (size_t place = 0; place < NINE; place++) {
        memset(x, 0, sizeof x);
        for (size_t tap = 0; tap < NINE; tap++) {
          const size_t row = 2 * (place / 3) + tap / 3, column = 2 * (place % 3) + tap % 3;
          counts[OPERATIONS] +=
              plain_add(x, lif1.p + (b * AREA + row * TAPS + column) * FIRST, FIRST,
                        a->conv2 + tap * FIRST * SECOND, SECOND);
        }
        counts[LIF2] += plain_step(h, lif2, (b * NINE + place) * SECOND, SECOND, x);
      }
      memset(x, 0, sizeof x);
      counts[OPERATIONS] +=
          plain_add(x, lif2.p + b * NINE * SECOND, NINE * SECOND, a->conv3, THIRD);
      counts[LIF3] += plain_step(h, lif3, b * THIRD, THIRD, x);
    }
    memcpy(x, a->fc1_bias, FOURTH * sizeof(real));
    const uint64_t same = plain_add(x, j_s.p, blocks * THIRD, a->fc1, FOURTH);
    if (!t) counts[OPERATIONS] += same; /* LIF3 + J_s: 0, 1 or 2 */
    counts[OPERATIONS] += plain_add(x, lif3.p, blocks * THIRD, a->fc1, FOURTH);
    counts[LIF4] += plain_step(h, lif4, 0, FOURTH, x);
    memcpy(fourth + t * FOURTH, lif4.p, FOURTH);
  }
  counts[LIF5] = read_out(h, a, fourth, logits);
  counts[OPERATIONS] += counts[LIF4] * h->num_classes;
}

/* =================================================================== the fast form
 *
 * A vector is as wide as the machine's. Two loops take the time:
 *   dense      products of a few places by a few channels, all sums in registers
 *   add_rows   rows of weights, one for each spike, added up in registers
 * A tile of `dense` is TILE places by WIDTH channels; `add_rows` makes SLICE channels. */

#if defined(__AVX512F__)
enum { VECTOR = 64, TILE = 6, TILE_VECTORS = 4, SUM_VECTORS = 8 }; /* of 32 registers */
#elif defined(__AVX__)
enum { VECTOR = 32, TILE = 6, TILE_VECTORS = 2, SUM_VECTORS = 8 }; /* of 16 */
#elif defined(__aarch64__)
enum { VECTOR = 16, TILE = 5, TILE_VECTORS = 4, SUM_VECTORS = 16 }; /* of 32 */
#else
enum { VECTOR = 16, TILE = 6, TILE_VECTORS = 2, SUM_VECTORS = 8 }; /* of 16 */
#endif
typedef real vec __attribute__((vector_size(VECTOR), aligned(sizeof(real)), may_alias));

enum {
  LANES = VECTOR / sizeof(real),
  WIDTH = TILE_VECTORS * LANES,
  SLICE = SUM_VECTORS * LANES,
  AHEAD = 4, /* rows from the one that is added to the one that is fetched */
};
_Static_assert(FIRST % WIDTH == 0, "FIRST is not a whole number of tiles");
_Static_assert(FOURTH % SLICE == 0 && SLICE % 8 == 0, "FOURTH is not whole slices");

#define INLINE static inline __attribute__((always_inline))
/* Of functions with such a loop: inlined into another, it would have fewer registers. */
#define ALONE static __attribute__((noinline))

/* One product of a sum: x[pixel] kernel[row]. */
typedef struct {
  int32_t pixel, row;
} product;

/* out[i] = sum over k of at[i][k's pixel] kernel[k's row], for num places and WIDTH
 * channels. The strides count elements from row to row, and from place to place. */
INLINE void dense_tile(size_t num, const real *const *at, const product *products,
                       size_t count, const real *kernel, size_t stride, real *out,
                       size_t out_stride) {
  vec sum[TILE][TILE_VECTORS];
  for (size_t i = 0; i < num; i++)
    for (size_t v = 0; v < TILE_VECTORS; v++) sum[i][v] = (vec){0};
  for (size_t k = 0; k < count; k++) {
    const vec *row = (const vec *)(kernel + (size_t)products[k].row * stride);
    for (size_t i = 0; i < num; i++) {
      const real x = at[i][products[k].pixel];
      for (size_t v = 0; v < TILE_VECTORS; v++) sum[i][v] += x * row[v];
    }
  }
  for (size_t i = 0; i < num; i++)
    for (size_t v = 0; v < TILE_VECTORS; v++)
      ((vec *)(out + i * out_stride))[v] = sum[i][v];
}

ALONE void dense(size_t num, const real *const *at, const product *products,
                 size_t count, const real *kernel, size_t stride, real *out,
                 size_t out_stride) {
#define TILE_OF(n) dense_tile(n, at, products, count, kernel, stride, out, out_stride)
  switch (num) {
    case 1: TILE_OF(1); break;
    case 2: TILE_OF(2); break;
    case 3: TILE_OF(3); break;
    case 4: TILE_OF(4); break;
    case 5: TILE_OF(5); break;
    default: TILE_OF(TILE);
  }
#undef TILE_OF
}

/* sum += rows of a table, in the order of the list. */
INLINE void add_rows(vec sum[SUM_VECTORS], const real *table, size_t stride,
                     const uint16_t *rows, size_t num) {
  for (size_t i = 0; i < num; i++) {
    const vec *row = (const vec *)(table + rows[i] * stride);
    if (i + AHEAD < num) __builtin_prefetch(table + rows[i + AHEAD] * stride);
    for (size_t v = 0; v < SUM_VECTORS; v++) sum[v] += row[v];
  }
}

/* Appends the numbers of the bits that are set, counted from `first`. */
INLINE size_t append(uint16_t *rows, size_t num, const uint64_t *words, size_t count,
                     size_t first) {
  for (size_t i = 0; i < count; i++, first += 64)
    for (uint64_t word = words[i]; word; word &= word - 1)
      rows[num++] = (uint16_t)(first + (size_t)__builtin_ctzll(word));
  return num;
}

/* Packs eight bytes of 0 or 1 into eight bits, the first into the lowest. */
INLINE uint64_t pack8(const uint8_t *bytes) {
  uint64_t x;
  memcpy(&x, bytes, 8);
  return x * UINT64_C(0x0102040810204080) >> 56;
}

/* Steps `count` neurons and writes their spikes, a bit each. The membranes are kept as
 * the next step needs them: 0 after a spike. */
INLINE void fire(const seen_header *h, real *membranes, const real *currents,
                 size_t count, uint8_t *bits) {
  const real decay = (real)h->decay, threshold = (real)h->threshold;
  uint8_t fired[FOURTH];
  for (size_t i = 0; i < count; i++) {
    const real v = decay * membranes[i] + currents[i];
    fired[i] = v > threshold;
    membranes[i] = v > threshold ? 0 : v;
  }
  for (size_t i = 0; i < count; i += 8) bits[i / 8] = (uint8_t)pack8(fired + i);
}

/* A layer whose neurons read spikes. For every place and time step, rows begin[i] to
 * begin[i + 1] of the list, i = place * T + t, are the weights to add to `start`.
 *
 *   table   its channel c of row i is at (c / SLICE) slice_stride + i stride + c % SLICE
 *   start   (channels), the currents without any spike
 *   bits    out: spikes (T, places, channels) of one bit; frame_bytes from t to t + 1 */
ALONE void layer(const seen_header *h, const real *table, size_t slice_stride,
                 size_t stride, size_t channels, const real *start, const uint16_t *rows,
                 const uint32_t *begin, size_t places, uint8_t *bits,
                 size_t frame_bytes) {
  for (size_t s = 0; s < channels / SLICE; s++, table += slice_stride)
    for (size_t place = 0; place < places; place++) {
      real membranes[SLICE] = {0};
      for (size_t t = 0; t < h->num_event_frames; t++) {
        const uint32_t *range = begin + place * h->num_event_frames + t;
        vec sum[SUM_VECTORS];
        memcpy(sum, start + s * SLICE, sizeof sum);
        add_rows(sum, table, stride, rows + range[0], range[1] - range[0]);
        fire(h, membranes, (real *)sum, SLICE,
             bits + t * frame_bytes + (place * channels + s * SLICE) / 8);
      }
    }
}

/* ----------------------------------------------------------------- packed weights
 *
 * Only the attention stands between the images and J_s. By scale, all of S is one kernel
 * of 19 x 19 for each frame: place y of block r and tap k read row 16 r - 9 + 2 y + k of
 * an image. In block 0, rows 0 to 8 of the kernel are outside the image, and places 0 to
 * 2 are padding that must give nothing, although their taps reach rows 9 and 10. So
 * these two rows are there twice: 9 and 10 for all places, 19 and 20 without the padding.
 * Columns are alike, so the table of a frame is 21 x 21 and serves all blocks. */

enum {
  SPAN = 2 * (TAPS - 1) + TAPS,               /* rows of the kernel */
  OUTSIDE = 3 * MARGIN,                       /* rows of it outside, in block 0 */
  TWICE = 2 * (MARGIN - 1) + TAPS - OUTSIDE,  /* rows that padding reaches */
  LINES = SPAN + TWICE,
  KINDS = 4, /* of blocks: the corner, the first row, the first column, the others */
};

static int in_row_0(size_t kind) { return kind < 2; }
static int in_column_0(size_t kind) { return kind % 2 == 0; }

typedef struct {
  real *spatial; /* (512 / WIDTH, N, 21, 21, 3, WIDTH) */
  real *conv3;   /* (512 / SLICE, 9 * 256, SLICE): a slice stays in the cache */
} packed;

static packed cut_packed(const seen_header *h, arena *memory) {
  const size_t rows = h->num_intensity_frames * LINES * LINES;
  packed some;
  some.spatial = take(memory, rows * SCALES * THIRD, sizeof(real));
  some.conv3 = take(memory, NINE * SECOND * THIRD, sizeof(real));
  return some;
}

/* The line of the table that holds a row of the kernel, in block 0 or another. */
static size_t line_of(size_t row, int is_first) {
  return is_first && row < OUTSIDE + TWICE ? row - OUTSIDE + SPAN : row;
}

/* Whether the table has a second version of a row for block 0 that this place is in. */
static int is_twice(size_t row, size_t place_row) {
  return row >= OUTSIDE && row < OUTSIDE + TWICE && place_row >= MARGIN;
}

/* Adds to the table what one frame gives by one tap of one place. */
static void compose(const seen_header *h, const seen_arrays *a, size_t place, size_t n,
                    size_t tap, real *table) {
  const size_t num = h->num_intensity_frames, y = place / TAPS, x = place % TAPS;
  const size_t row = 2 * y + tap / TAPS, column = 2 * x + tap % TAPS;
  product channels[FIRST];
  for (int32_t c = 0; c < FIRST; c++) channels[c] = (product){c, c};
  for (size_t scale = 0; scale < SCALES; scale++)
    for (size_t s = 0; s < THIRD / WIDTH; s++) {
      const real *from = a->intensity + ((scale * num + n) * AREA + tap) * FIRST;
      real sum[WIDTH];
      dense(1, &from, channels, FIRST, a->deep + place * FIRST * THIRD + s * WIDTH,
            THIRD, sum, WIDTH);
      for (size_t kind = 0; kind < KINDS; kind++) {
        if (in_row_0(kind) && !is_twice(row, y)) continue;
        if (in_column_0(kind) && !is_twice(column, x)) continue;
        const size_t i = line_of(row, in_row_0(kind));
        const size_t j = line_of(column, in_column_0(kind));
        real *out = table + (((s * num + n) * LINES + i) * LINES + j) * SCALES * WIDTH;
        for (size_t c = 0; c < WIDTH; c++) out[scale * WIDTH + c] += sum[c];
      }
    }
}

static void pack_conv3(const real *in, real *out) {
  for (size_t s = 0; s < THIRD / SLICE; s++)
    for (size_t i = 0; i < NINE * SECOND; i++, out += SLICE)
      memcpy(out, in + i * THIRD + s * SLICE, SLICE * sizeof(real));
}

static void pack(const seen_header *h, const seen_arrays *a, packed out) {
  const size_t rows = h->num_intensity_frames * LINES * LINES;
  memset(out.spatial, 0, rows * SCALES * THIRD * sizeof(real));
  for (size_t place = 0; place < AREA; place++)
    for (size_t n = 0; n < h->num_intensity_frames; n++)
      for (size_t tap = 0; tap < AREA; tap++) compose(h, a, place, n, tap, out.spatial);
  pack_conv3(a->conv3, out.conv3);
}

/* -------------------------------------------------------------- a window, fast */

/* Blocks that read the same products: where in padded frames each begins, and which of
 * the n * n it is. */
typedef struct {
  product *products, *blocks; /* (N, 19, 19) or less, and n * n or less */
  size_t num_products, num_blocks;
} alike;

typedef struct {
  real *intensities; /* (N, P, P) with their padding, P = H + 6 */
  real *events;      /* (T, P, P) */
  uint8_t *differs;  /* (T, P, P), whether a pixel is not background */
  real *kernels;     /* (T, 49 * 64), T's first stage; the first alone where all share it */
  real *silent;      /* (T, 64), what each gives of background alone */
  real *mixed;       /* (N, 21, 21, WIDTH), a slice of `spatial`, weighed */
  alike kinds[KINDS];
  real *spatial;     /* (n * n, 512), currents of J_s */
  uint64_t *j_s;     /* (n * n, 512), a bit each */
  uint64_t *lif1;    /* (T, n * n, 49, 64) */
  uint64_t *lif2;    /* (T, n * n, 9, 256) */
  uint64_t *lif3;    /* (T, n * n, 512) */
  uint64_t *lif4;    /* (T, 256) */
  uint8_t *fourth;   /* (T, 256), a byte each */
  uint16_t *rows;    /* lists of `layer` */
  uint32_t *begin;
} scratch;

static size_t padded_rows(const seen_header *h) { return h->image_size + 2 * MARGIN; }

static void take_kinds(const seen_header *h, arena *memory, alike kinds[KINDS]) {
  for (size_t i = 0; i < KINDS; i++) {
    const size_t num = h->num_intensity_frames * SPAN * SPAN;
    kinds[i].products = take(memory, num, sizeof(product));
    kinds[i].blocks = take(memory, num_blocks(h), sizeof(product));
  }
}

static scratch cut_scratch(const seen_header *h, arena *memory) {
  const size_t length = h->num_event_frames, num = h->num_intensity_frames;
  const size_t pixels = padded_rows(h) * padded_rows(h), blocks = num_blocks(h);
  scratch s;
  s.intensities = take(memory, num * pixels, sizeof(real));
  s.events = take(memory, length * pixels, sizeof(real));
  s.differs = take(memory, length * pixels + 8, 1); /* eight are read at once */
  s.kernels = take(memory, length * AREA * FIRST, sizeof(real));
  s.silent = take(memory, length * FIRST, sizeof(real));
  s.mixed = take(memory, num * LINES * LINES * WIDTH, sizeof(real));
  take_kinds(h, memory, s.kinds);
  s.spatial = take(memory, blocks * THIRD, sizeof(real));
  s.j_s = take(memory, blocks * THIRD / 8, 1);
  s.lif1 = take(memory, length * blocks * AREA * FIRST / 8, 1);
  s.lif2 = take(memory, length * blocks * NINE * SECOND / 8, 1);
  s.lif3 = take(memory, length * blocks * THIRD / 8, 1);
  s.lif4 = take(memory, length * FOURTH / 8, 1);
  s.fourth = take(memory, length * FOURTH, 1);
  const size_t conv2 = NINE * NINE * FIRST, conv3 = blocks * NINE * SECOND;
  s.rows = take(memory, length * (conv2 > conv3 ? conv2 : conv3), sizeof(uint16_t));
  s.begin = take(memory, length * (NINE > blocks ? NINE : blocks) + 1, sizeof(uint32_t));
  return s;
}

/* Copies images (num, H, H) into a margin of zeros. */
static void pad(const seen_header *h, real *out, const real *in, size_t num) {
  const size_t side = h->image_size, padded = padded_rows(h);
  memset(out, 0, num * padded * padded * sizeof(real));
  for (size_t n = 0; n < num; n++)
    for (size_t i = 0; i < side; i++)
      memcpy(out + (n * padded + i + MARGIN) * padded + MARGIN,
             in + (n * side + i) * side, side * sizeof(real));
}

/* Lists the products and the blocks of each kind. */
static void list_kinds(const seen_header *h, alike kinds[KINDS]) {
  const size_t n = block_rows(h), padded = padded_rows(h);
  for (size_t kind = 0; kind < KINDS; kind++) {
    const size_t y0 = !in_row_0(kind), x0 = !in_column_0(kind); /* the first block */
    const size_t top = y0 ? 0 : OUTSIDE, left = x0 ? 0 : OUTSIDE;
    alike *a = &kinds[kind];
    a->num_products = a->num_blocks = 0;
    for (size_t i = 0; i < h->num_intensity_frames; i++)
      for (size_t row = top; row < SPAN; row++) {
        const size_t line = i * LINES + line_of(row, in_row_0(kind));
        const size_t pixel = (i * padded + row - top) * padded;
        for (size_t column = left; column < SPAN; column++) {
          const size_t place = line * LINES + line_of(column, in_column_0(kind));
          a->products[a->num_products++] =
              (product){(int32_t)(pixel + column - left), (int32_t)place};
        }
      }
    for (size_t row = y0; row < (y0 ? n : 1); row++)
      for (size_t column = x0; column < (x0 ? n : 1); column++) {
        const size_t y = 16 * row + top + MARGIN - OUTSIDE; /* of the padded image */
        const size_t x = 16 * column + left + MARGIN - OUTSIDE;
        a->blocks[a->num_blocks++] =
            (product){(int32_t)(y * padded + x), (int32_t)(row * n + column)};
      }
  }
}

/* Adds a slice of J_s's currents: padded images, and a slice of `spatial`. */
static void look_slice(const real *images, const alike kinds[KINDS], const real *table,
                       size_t rows, const real w[SCALES], real *mixed, real *currents) {
  for (size_t i = 0; i < rows; i++)
    weigh(mixed + i * WIDTH, table + i * SCALES * WIDTH, w, WIDTH);
  for (const alike *a = kinds; a < kinds + KINDS; a++) {
    const size_t count = a->num_blocks, tiles = (count + TILE - 1) / TILE;
    const size_t each = tiles ? (count + tiles - 1) / tiles : 0;
    for (size_t begin = 0; begin < count; begin += each) {
      const size_t num = count - begin < each ? count - begin : each;
      const product *blocks = a->blocks + begin;
      const real *at[TILE];
      real sum[TILE * WIDTH];
      for (size_t i = 0; i < num; i++) at[i] = images + blocks[i].pixel;
      dense(num, at, a->products, a->num_products, mixed, WIDTH, sum, WIDTH);
      for (size_t i = 0; i < num; i++)
        for (size_t c = 0; c < WIDTH; c++)
          currents[(size_t)blocks[i].row * THIRD + c] += sum[i * WIDTH + c];
    }
  }
}

/* S: padded intensity frames -> J_s. */
static void look(const seen_header *h, const seen_arrays *a, packed weights, scratch s,
                 const real w[SCALES]) {
  const size_t rows = h->num_intensity_frames * LINES * LINES;
  const size_t count = num_blocks(h) * THIRD;
  list_kinds(h, s.kinds);
  weigh(s.spatial, a->deep_bias, w, count);
  for (size_t slice = 0; slice < THIRD / WIDTH; slice++)
    look_slice(s.intensities, s.kinds, weights.spatial + slice * rows * SCALES * WIDTH,
               rows, w, s.mixed, s.spatial + slice * WIDTH);
  for (size_t i = 0; i < count; i += FIRST) { /* one step from rest */
    real membranes[FIRST] = {0};
    fire(h, membranes, s.spatial + i, FIRST, (uint8_t *)s.j_s + i / 8);
  }
}

/* T's first stage at one place where few pixels differ from the background:
 *   sum x k = background sum k + sum over those that differ of (x - background) k */
ALONE void follow_pixels(real *currents, const real *image, const uint8_t *differs,
                         const product products[AREA], const real *kernel,
                         const real *silent, real background) {
  vec sum[FIRST / LANES];
  uint64_t taps = 0;
  for (size_t y = 0; y < TAPS; y++)
    taps |= (pack8(differs + products[y * TAPS].pixel) & 0x7f) << (y * TAPS);
  memcpy(sum, silent, sizeof sum);
  for (; taps; taps &= taps - 1) {
    const size_t tap = (size_t)__builtin_ctzll(taps);
    const real x = image[products[tap].pixel] - background;
    const vec *row = (const vec *)(kernel + tap * FIRST);
    for (size_t v = 0; v < FIRST / LANES; v++) sum[v] += x * row[v];
  }
  memcpy(currents, sum, sizeof sum);
}

/* The level that more than half of every 16th pixel have, if there is one, by a majority
 * vote (Boyer and Moore); else some level. Note: in real numbers no result depends on
 * which it is; the one that most pixels have is the fastest. */
static real most_common(const real *pixels, size_t count) {
  real level = 0;
  for (size_t i = 0, votes = 0; i < count; i += 16) {
    if (!votes) level = pixels[i];
    votes += pixels[i] == level ? 1 : (size_t)-1;
  }
  return level;
}

/* T's first stage and LIF1: padded event frames -> spikes. The background is the level
 * of a pixel without events. A time step's kernel lies `stride` after that of the step
 * before; 0: all have the same. */
static void see(const seen_header *h, scratch s, const real *kernels, size_t stride,
                real background) {
  const size_t n = block_rows(h), padded = padded_rows(h), pixels = padded * padded;
  const size_t length = h->num_event_frames, slots = n * n * AREA;
  product products[AREA];
  uint8_t few[1000];
  memset(s.silent, 0, length * FIRST * sizeof(real));
  for (size_t k = 0; k < AREA; k++) {
    products[k] = (product){(int32_t)(k / TAPS * padded + k % TAPS), (int32_t)k};
    for (size_t t = 0; t < length; t++)
      for (size_t c = 0; c < FIRST; c++)
        s.silent[t * FIRST + c] += background * kernels[t * stride + k * FIRST + c];
  }
  for (size_t t = 0; t < length; t++) {
    size_t count = 0;
    for (size_t i = t * pixels; i < (t + 1) * pixels; i++)
      count += s.differs[i] = s.events[i] != background;
    few[t] = 2 * count < pixels;
  }
  memset(s.lif1, 0, length * slots * sizeof(uint64_t));
  size_t num = 0, at[TILE], slot[TILE];
  for (size_t place = 0; place < slots; place++) {
    const size_t y = place / AREA / n * 8 + place % AREA / TAPS; /* row + MARGIN */
    const size_t x = place / AREA % n * 8 + place % TAPS;
    if (y >= MARGIN && x >= MARGIN) {
      at[num] = 2 * (y - MARGIN) * padded + 2 * (x - MARGIN);
      slot[num++] = place;
    }
    if (num < TILE && place + 1 < slots) continue;
    real membranes[TILE * FIRST] = {0}, currents[TILE * FIRST];
    for (size_t t = 0; t < length; t++) {
      const real *places[TILE], *kernel = kernels + t * stride;
      for (size_t i = 0; i < num; i++) places[i] = s.events + t * pixels + at[i];
      for (size_t i = 0; i < num && few[t]; i++)
        follow_pixels(currents + i * FIRST, places[i], s.differs + t * pixels + at[i],
                      products, kernel, s.silent + t * FIRST, background);
      for (size_t c = 0; c < FIRST && !few[t]; c += WIDTH)
        dense(num, places, products, AREA, kernel + c, FIRST, currents + c, FIRST);
      for (size_t i = 0; i < num; i++)
        fire(h, membranes + i * FIRST, currents + i * FIRST, FIRST,
             (uint8_t *)(s.lif1 + t * slots + slot[i]));
    }
    num = 0;
  }
}

/* conv2_f2, LIF2, conv3_f2 and LIF3. Returns the weights that spikes add. */
static uint64_t follow(const seen_header *h, const real *conv2, const real *conv3,
                   size_t slice_stride, size_t stride, scratch s) {
  static const real none[THIRD];
  const size_t length = h->num_event_frames, blocks = num_blocks(h);
  uint64_t operations = 0;
  for (size_t b = 0; b < blocks; b++) {
    uint32_t num = 0, *begin = s.begin;
    for (size_t place = 0; place < NINE; place++)
      for (size_t t = 0; t < length; t++) {
        *begin++ = num;
        const uint64_t *words = s.lif1 + (t * blocks + b) * AREA +
                                2 * (place / 3) * TAPS + 2 * (place % 3);
        for (size_t y = 0; y < 3; y++)
          num = (uint32_t)append(s.rows, num, words + y * TAPS, 3, 3 * y * FIRST);
      }
    *begin = num;
    operations += (uint64_t)num * SECOND;
    layer(h, conv2, SLICE, SECOND, SECOND, none, s.rows, s.begin, NINE,
          (uint8_t *)s.lif2 + b * NINE * SECOND / 8, blocks * NINE * SECOND / 8);
  }
  const size_t words = NINE * SECOND / 64;
  uint32_t num = 0, *begin = s.begin;
  for (size_t b = 0; b < blocks; b++)
    for (size_t t = 0; t < length; t++) {
      *begin++ = num;
      num = (uint32_t)append(s.rows, num, s.lif2 + (t * blocks + b) * words, words, 0);
    }
  *begin = num;
  layer(h, conv3, slice_stride, stride, THIRD, none, s.rows, s.begin,
        blocks, (uint8_t *)s.lif3, blocks * THIRD / 8);
  return operations + (uint64_t)num * THIRD;
}

/* fc1, LIF4, fc2 and LIF5. J_s is the same at every time step: its rows of fc1 are
 * added up once, and LIF3's begin from there. */
static uint64_t classify(const seen_header *h, const seen_arrays *a, scratch s,
                         real *logits) {
  const size_t length = h->num_event_frames, words = num_blocks(h) * THIRD / 64;
  real start[FOURTH];
  size_t num = append(s.rows, 0, s.j_s, words, 0);
  for (size_t i = 0; i < FOURTH; i += SLICE) {
    vec sum[SUM_VECTORS];
    memcpy(sum, a->fc1_bias + i, sizeof sum);
    add_rows(sum, a->fc1 + i, FOURTH, s.rows, num);
    memcpy(start + i, sum, sizeof sum);
  }
  num = 0;
  for (size_t t = 0; t < length; t++) {
    s.begin[t] = (uint32_t)num;
    num = append(s.rows, num, s.lif3 + t * words, words, 0);
  }
  s.begin[length] = (uint32_t)num;
  layer(h, a->fc1, SLICE, FOURTH, FOURTH, start, s.rows, s.begin, 1, (uint8_t *)s.lif4,
        FOURTH / 8);
  for (size_t i = 0; i < length * FOURTH; i++) s.fourth[i] = s.lif4[i / 64] >> i % 64 & 1;
  return read_out(h, a, s.fourth, logits);
}

static uint64_t count_bits(const uint64_t *words, size_t num_bits) {
  uint64_t count = 0;
  for (size_t i = 0; i < num_bits / 64; i++) count += (uint64_t)__builtin_popcountll(words[i]);
  return count;
}

/* ============================================================== what is called */

/* Bytes that the functions below need; their memory begins at a multiple of 64. */
size_t seen_packed_bytes(const seen_header *h) {
  arena memory = {0};
  if (check_header(h)) return 0;
  cut_packed(h, &memory);
  return memory.used;
}

size_t seen_scratch_bytes(const seen_header *h) {
  arena memory = {0};
  if (check_header(h)) return 0;
  cut_scratch(h, &memory);
  return memory.used;
}

size_t seen_plain_bytes(const seen_header *h) {
  arena memory = {0};
  if (check_header(h)) return 0;
  plain_window(h, NULL, &memory, NULL, NULL, NULL, NULL);
  return memory.used;
}

/* Makes what `seen_window` reads of `intensity`, `deep` and `conv3`; once. */
const char *seen_pack(const seen_header *h, const seen_arrays *a, void *packed_memory) {
  const char *wrong = check_header(h);
  arena memory = {packed_memory, 0};
  if (!wrong) pack(h, a, cut_packed(h, &memory));
  return wrong;
}

/* One window: normalised event frames (T, H, H) and intensity frames (N, H, H), all
 * finite -> logits (K) and the counts of the window. LIF1 and LIF2 have neurons only
 * where conv3_f2 reads. Returns what is wrong, or NULL. */
const char *seen_window(const seen_header *h, const seen_arrays *a,
                        const void *packed_memory, void *scratch_memory,
                        const real *events, const real *intensities, real *logits,
                        uint64_t counts[NUM_COUNTS]) {
  const char *wrong = check_header(h);
  if (wrong) return wrong;
  arena memory = {(char *)packed_memory, 0}, own = {scratch_memory, 0};
  const packed weights = cut_packed(h, &memory);
  const scratch s = cut_scratch(h, &own);
  const size_t length = h->num_event_frames, blocks = num_blocks(h);
  const size_t pixels = h->image_size * h->image_size;
  const size_t stride = h->own_attention ? AREA * FIRST : 0;
  real w[SCALES];
  attend(h, a, intensities, w);
  pad(h, s.intensities, intensities, h->num_intensity_frames);
  look(h, a, weights, s, w);
  pad(h, s.events, events, length);
  for (size_t t = 0; t < (stride ? length : 1); t++)
    event_kernel(h, a, events + t * pixels, w, s.kernels + t * stride);
  see(h, s, s.kernels, stride, most_common(events, length * pixels));
  counts[OPERATIONS] =
      follow(h, a->conv2, weights.conv3, NINE * SECOND * SLICE, SLICE, s);
  counts[LIF5] = classify(h, a, s, logits);
  counts[J_S] = count_bits(s.j_s, blocks * THIRD);
  counts[LIF1] = count_bits(s.lif1, length * blocks * AREA * FIRST);
  counts[LIF2] = count_bits(s.lif2, length * blocks * NINE * SECOND);
  counts[LIF3] = count_bits(s.lif3, length * blocks * THIRD);
  counts[LIF4] = count_bits(s.lif4, length * FOURTH);
  counts[OPERATIONS] += (counts[J_S] + counts[LIF3]) * FOURTH;
  counts[OPERATIONS] += counts[LIF4] * h->num_classes;
  return NULL;
}

/* The same by the plain form, from the arrays alone. */
const char *seen_plain(const seen_header *h, const seen_arrays *a, void *scratch_memory,
                       const real *events, const real *intensities, real *logits,
                       uint64_t counts[NUM_COUNTS]) {
  const char *wrong = check_header(h);
  arena memory = {scratch_memory, 0};
  if (!wrong) plain_window(h, a, &memory, events, intensities, logits, counts);
  return wrong;
}
