/* The kernel inside JAX, as custom calls of XLA on a CPU. B examples, T time steps, I
 * intensity frames, N neurons, which are n * n * 512 of J_s and LIF3, D channels:
 *
 *     seen_temporal    frames (B, T, H, H), attention (B, 3), event (3, 49 * 64),
 *                      conv2 (9 * 64, 256), conv3 (9 * 256, 512)  ->  LIF3 (B, T, N)
 *     seen_sum_rows    spikes P (B, T, N), spikes Q (B, N), weights W (N, D)
 *                      ->  (P + Q) W, (B, T, D)
 *     seen_sum_rows_gradient   P, Q, gradient (B, T, D), its sum over T (B, D)
 *                      ->  gradient of W (N, D)
 *
 *     seen_spatial     padded frames (B, I, H + 6, H + 6), attention (B, 3), first
 *                      (3, 49, I, 64), conv2, conv3
 *                      ->  currents of J_s without biases (B, N), composed kernels
 *     seen_spatial_gradient    the same, composed kernels, gradient (B, N)
 *                      ->  gradients of attention, first, conv2, conv3, and memory of
 *                      the size of the composed kernels
 *     seen_settled     any arrays  ->  the same, in their places
 *
 * `event` and `first` are the first stage's kernels by scale. Attributes: `decay` and
 * `threshold` of the neurons, and the number of `threads`. Each part of a result, an
 * example, some rows of weights or a slice of channels, is computed by one thread from
 * start to end, in one order: results do not depend on the threads.
 *
 * Compiled like seen_spikes.c, whose parts it uses, with the headers of jaxlib. */

#include <pthread.h>
#include <stdlib.h>

#include "seen_spatial.c"
#include "xla/ffi/api/c_api.h"

enum {
  MAX_ARRAYS = 256, /* inputs and results together */
  MAX_THREADS = 256,
  PACK_FROM = 4, /* examples; for fewer, packing conv3 costs more than it saves */
  ROWS = 96,     /* of weights whose gradient is added up at once, in a near cache */
};

typedef struct {
  seen_header header;
  const real *inputs[MAX_ARRAYS];
  real *outs[MAX_ARRAYS];
  size_t elements[MAX_ARRAYS]; /* of the inputs, and then of the results */
  size_t batch, length, size;  /* the first input's: B, T or I, and N or rows */
  size_t channels;            /* of the weights: D */
  size_t count, next;         /* parts of the result; `next` changes atomically */
  const real *conv3;          /* packed, or as it came */
  size_t slice_stride, stride;
  const plan *plan; /* of branch S */
  real *sums;       /* (512 / WIDTH, B, 3), of the attention's gradient */
} job;

/* The part that the calling thread computes next; `count` or more if none is left. */
static size_t take_part(job *j) {
  return __atomic_fetch_add(&j->next, 1, __ATOMIC_RELAXED);
}

/* Says whether inputs and results have the sizes that a function reads and writes. */
static int are_sizes(const job *j, size_t num, const size_t elements[]) {
  return !memcmp(j->elements, elements, num * sizeof *elements);
}

/* Calls `work`, which takes parts until none is left, in several threads. One that has
 * no memory takes none. Returns what is wrong, or NULL. */
static const char *share(job *j, void *(*work)(void *), size_t num_threads) {
  pthread_t others[MAX_THREADS];
  size_t num = 0;
  if (num_threads > j->count) num_threads = j->count;
  while (num + 1 < num_threads && num < MAX_THREADS &&
         !pthread_create(&others[num], NULL, work, j))
    num++;
  work(j); /* this thread alone will do where there is no other */
  while (num) pthread_join(others[--num], NULL);
  return j->next < j->count ? "out of memory" : NULL;
}

/* ------------------------------------------------------------------ seen_temporal */

static void *temporal_work(void *argument) {
  job *j = argument;
  const seen_header *h = &j->header;
  const size_t pixels = j->length * j->size * j->size;
  const size_t count = j->length * num_blocks(h) * THIRD;
  arena memory = {0};
  cut_scratch(h, &memory);
  memory = (arena){aligned_alloc(64, memory.used), 0};
  if (!memory.base) return NULL;
  const scratch s = cut_scratch(h, &memory);
  for (size_t i; (i = take_part(j)) < j->count;) {
    real kernel[AREA * FIRST];
    weigh(kernel, j->inputs[2], j->inputs[1] + i * SCALES, AREA * FIRST);
    const real *events = j->inputs[0] + i * pixels;
    pad(h, s.events, events, j->length);
    see(h, s, kernel, 0, most_common(events, pixels));
    follow(h, j->inputs[3], j->conv3, j->slice_stride, j->stride, s);
    real *out = j->outs[0] + i * count;
    for (size_t k = 0; k < count; k++) out[k] = (real)(s.lif3[k / 64] >> k % 64 & 1);
  }
  free(memory.base);
  return NULL;
}

static const char *temporal(job *j, size_t num_threads) {
  j->count = j->batch;
  j->header.image_size = (uint32_t)j->size;
  j->header.num_event_frames = (uint32_t)j->length;
  const char *wrong = check_header(&j->header);
  if (wrong) return wrong;
  const size_t frames = j->batch * j->length * j->size * j->size;
  const size_t sizes[] = {frames,
                          j->batch * SCALES,
                          SCALES * AREA * FIRST,
                          NINE * FIRST * SECOND,
                          NINE * SECOND * THIRD,
                          j->batch * j->length * num_blocks(&j->header) * THIRD};
  if (!are_sizes(j, 6, sizes)) return "arrays of other sizes";
  real *memory = NULL;
  j->conv3 = j->inputs[4], j->slice_stride = SLICE, j->stride = THIRD;
  if (j->batch >= PACK_FROM)
    memory = aligned_alloc(64, (size_t)NINE * SECOND * THIRD * sizeof(real));
  if (memory) {
    pack_conv3(j->conv3, memory);
    j->conv3 = memory, j->slice_stride = (size_t)NINE * SECOND * SLICE, j->stride = SLICE;
  }
  wrong = share(j, temporal_work, num_threads);
  free(memory);
  return wrong;
}

/* ------------------------------------------------------------------ seen_sum_rows */

/* Lists the spikes among neurons, whose values are 0 or 1. */
static size_t list_spikes(const real *values, size_t count, uint16_t *rows) {
  size_t num = 0;
  for (size_t i = 0; i < count; i++) {
    rows[num] = (uint16_t)i;
    num += values[i] != 0;
  }
  return num;
}

/* A slice of the weights is read for all spikes of an example before the next one. */
static void *rows_work(void *argument) {
  job *j = argument;
  const size_t length = j->length, size = j->size, channels = j->channels;
  const real *spikes = j->inputs[0], *shared = j->inputs[1], *weights = j->inputs[2];
  uint16_t *rows = malloc(((length + 1) * size + 1) * sizeof *rows);
  size_t *begin = malloc((length + 2) * sizeof *begin); /* of what is listed in rows */
  for (size_t i; rows && begin && (i = take_part(j)) < j->count;) {
    begin[0] = 0;
    begin[1] = list_spikes(shared + i * size, size, rows);
    for (size_t t = 0; t < length; t++)
      begin[t + 2] = begin[t + 1] + list_spikes(spikes + (i * length + t) * size, size,
                                                rows + begin[t + 1]);
    for (size_t c = 0; c < channels; c += SLICE) {
      vec start[SUM_VECTORS] = {{0}}, sum[SUM_VECTORS];
      add_rows(start, weights + c, channels, rows, begin[1]);
      for (size_t t = 0; t < length; t++) {
        memcpy(sum, start, sizeof sum);
        add_rows(sum, weights + c, channels, rows + begin[t + 1],
                 begin[t + 2] - begin[t + 1]);
        memcpy(j->outs[0] + (i * length + t) * channels + c, sum, sizeof sum);
      }
    }
  }
  free(rows);
  free(begin);
  return NULL;
}

static const char *sum_rows(job *j, size_t num_threads) {
  const size_t steps = j->batch * j->length;
  j->channels = j->size ? j->elements[2] / j->size : 0;
  const size_t sizes[] = {steps * j->size, j->batch * j->size, j->size * j->channels,
                          steps * j->channels};
  if (!are_sizes(j, 4, sizes) || j->channels % SLICE) return "arrays of other sizes";
  j->count = j->batch;
  return share(j, rows_work, num_threads);
}

/* --------------------------------------------------------- seen_sum_rows_gradient */

/* Adds a gradient to the rows of those neurons that spike. */
static void add_gradient(real *restrict sum, const real *values, size_t count,
                         const real *restrict gradient, size_t channels) {
  for (size_t r = 0; r < count; r++)
    if (values[r] != 0)
      for (size_t c = 0; c < channels; c++) sum[r * channels + c] += gradient[c];
}

static void *rows_gradient_work(void *argument) {
  job *j = argument;
  const size_t size = j->size, channels = j->channels;
  const real *spikes = j->inputs[0], *shared = j->inputs[1];
  const real *gradient = j->inputs[2], *summed = j->inputs[3];
  for (size_t part; (part = take_part(j)) < j->count;) {
    const size_t first = part * ROWS;
    const size_t count = size - first < ROWS ? size - first : ROWS;
    real *sum = j->outs[0] + first * channels;
    memset(sum, 0, count * channels * sizeof(real));
    for (size_t i = 0; i < j->batch; i++) {
      add_gradient(sum, shared + i * size + first, count, summed + i * channels,
                   channels);
      for (size_t t = i * j->length; t < (i + 1) * j->length; t++)
        add_gradient(sum, spikes + t * size + first, count, gradient + t * channels,
                     channels);
    }
  }
  return NULL;
}

static const char *rows_gradient(job *j, size_t num_threads) {
  const size_t steps = j->batch * j->length;
  j->channels = j->size ? j->elements[4] / j->size : 0;
  const size_t sizes[] = {steps * j->size, j->batch * j->size, steps * j->channels,
                          j->batch * j->channels, j->size * j->channels};
  if (!are_sizes(j, 5, sizes)) return "arrays of other sizes";
  j->count = (j->size + ROWS - 1) / ROWS;
  return share(j, rows_gradient_work, num_threads);
}

/* ------------------------------------------------------------------- seen_spatial */

static size_t pixels_of(const job *j) { return j->length * j->size * j->size; }

static size_t near_rows(const job *j) {
  return SCALES * NEAR_LINES * NEAR_LINES * j->length;
}

static size_t table_rows(const job *j) { return j->length * LINES * LINES; }

/* A slice of the table lies behind the kernels of the first two stages. */
static real *table_slice(const job *j, real *composed, size_t slice) {
  return composed + near_rows(j) * SECOND + slice * table_rows(j) * SCALES * WIDTH;
}

static void clear_slice(real *out, size_t rows, size_t stride) {
  for (size_t i = 0; i < rows; i++) memset(out + i * stride, 0, WIDTH * sizeof(real));
}

static void *near_work(void *argument) {
  job *j = argument;
  for (size_t part; (part = take_part(j)) < j->count;) {
    real *near = j->outs[1] + part * WIDTH;
    clear_slice(near, near_rows(j), SECOND);
    compose_slice(&j->plan->second, j->inputs[2], j->inputs[3] + part * WIDTH, near,
                  SECOND);
  }
  return NULL;
}

static void *look_work(void *argument) {
  job *j = argument;
  const size_t rows = table_rows(j), blocks = num_blocks(&j->header);
  real *mixed = aligned_alloc(64, rows * WIDTH * sizeof(real));
  if (!mixed) return NULL;
  for (size_t part; (part = take_part(j)) < j->count;) {
    real *table = table_slice(j, j->outs[1], part);
    memset(table, 0, rows * SCALES * WIDTH * sizeof(real));
    compose_slice(&j->plan->third, j->outs[1], j->inputs[4] + part * WIDTH, table, WIDTH);
    for (size_t i = 0; i < j->batch; i++) {
      real *currents = j->outs[0] + i * blocks * THIRD + part * WIDTH;
      clear_slice(currents, blocks, THIRD);
      look_slice(j->inputs[0] + i * pixels_of(j), j->plan->kinds, table, rows,
                 j->inputs[1] + i * SCALES, mixed, currents);
    }
  }
  free(mixed);
  return NULL;
}

static void *outer_work(void *argument) {
  job *j = argument;
  const size_t blocks = num_blocks(&j->header), count = j->batch * blocks;
  const size_t size = table_rows(j) * SCALES * WIDTH;
  real *g = aligned_alloc(64, count * WIDTH * sizeof(real));
  if (!g) return NULL;
  for (size_t part; (part = take_part(j)) < j->count;) {
    const real *table = table_slice(j, (real *)j->inputs[5], part);
    real *gradient = table_slice(j, j->outs[4], part);
    for (size_t i = 0; i < count; i++)
      memcpy(g + i * WIDTH, j->inputs[6] + i * THIRD + part * WIDTH,
             WIDTH * sizeof(real));
    memset(gradient, 0, size * sizeof(real));
    outer_slice(j->plan->kinds, j->inputs[0], pixels_of(j), j->batch, j->inputs[1], table,
                g, blocks, gradient, j->sums + part * j->batch * SCALES);
    kernel_slice(&j->plan->third, j->inputs[5], gradient, WIDTH,
                 j->outs[3] + part * WIDTH);
  }
  free(g);
  return NULL;
}

static void *near_gradient_work(void *argument) {
  job *j = argument;
  product channels[THIRD]; /* of a row of the table, whose slices lie apart */
  for (size_t i = 0; i < THIRD; i++) {
    const size_t at = i / WIDTH * table_rows(j) * SCALES * WIDTH + i % WIDTH;
    channels[i] = (product){(int32_t)at, (int32_t)i};
  }
  real *memory = aligned_alloc(64, THIRD * WIDTH * sizeof(real));
  if (!memory) return NULL;
  for (size_t part; (part = take_part(j)) < j->count;) {
    real *near = j->outs[4] + part * WIDTH;
    clear_slice(near, near_rows(j), SECOND);
    lines_slice(&j->plan->third, table_slice(j, j->outs[4], 0), channels, WIDTH,
                j->inputs[4], part * WIDTH, memory, near);
    kernel_slice(&j->plan->second, j->inputs[2], near, SECOND, j->outs[2] + part * WIDTH);
  }
  free(memory);
  return NULL;
}

static void *first_gradient_work(void *argument) {
  job *j = argument;
  product channels[SECOND];
  for (int32_t i = 0; i < SECOND; i++) channels[i] = (product){i, i};
  real *memory = aligned_alloc(64, SECOND * WIDTH * sizeof(real));
  if (!memory) return NULL;
  for (size_t part; (part = take_part(j)) < j->count;) {
    real *first = j->outs[1] + part * WIDTH;
    clear_slice(first, SCALES * AREA * j->length, FIRST);
    lines_slice(&j->plan->second, j->outs[4], channels, SECOND, j->inputs[3],
                part * WIDTH, memory, first);
  }
  free(memory);
  return NULL;
}

static const char *share_parts(job *j, void *(*work)(void *), size_t num_parts,
                               size_t num_threads) {
  j->count = num_parts;
  j->next = 0;
  return share(j, work, num_threads);
}

/* Checks the sizes, of which `gradient` has those of both, and makes the plan. */
static const char *prepare_spatial(job *j, int is_gradient, plan *p, void **memory) {
  if (j->size < 2 * MARGIN) return "arrays of other sizes";
  j->header.image_size = (uint32_t)(j->size - 2 * MARGIN);
  j->header.num_event_frames = 1;
  j->header.num_intensity_frames = (uint32_t)j->length;
  const char *wrong = check_header(&j->header);
  if (wrong) return wrong;
  const size_t attention = j->batch * SCALES, first = SCALES * AREA * j->length * FIRST;
  const size_t conv2 = NINE * FIRST * SECOND, conv3 = NINE * SECOND * THIRD;
  const size_t currents = j->batch * num_blocks(&j->header) * THIRD;
  const size_t composed = near_rows(j) * SECOND + table_rows(j) * SCALES * THIRD;
  const size_t sizes[] = {j->batch * pixels_of(j), attention, first, conv2, conv3,
                          is_gradient ? composed : currents,
                          is_gradient ? currents : composed,
                          attention, first, conv2, conv3, composed};
  if (!are_sizes(j, is_gradient ? 12 : 7, sizes)) return "arrays of other sizes";
  arena space = {0};
  cut_plan(&j->header, &space);
  space = (arena){*memory = aligned_alloc(64, space.used), 0};
  if (!space.base) return "out of memory";
  *p = cut_plan(&j->header, &space);
  list_plan(&j->header, p);
  j->plan = p;
  return NULL;
}

static const char *spatial(job *j, size_t num_threads) {
  plan p;
  void *memory = NULL;
  const char *wrong = prepare_spatial(j, 0, &p, &memory);
  if (!wrong) wrong = share_parts(j, near_work, SECOND / WIDTH, num_threads);
  if (!wrong) wrong = share_parts(j, look_work, THIRD / WIDTH, num_threads);
  free(memory);
  return wrong;
}

static const char *spatial_gradient(job *j, size_t num_threads) {
  plan p;
  void *memory = NULL;
  const char *wrong = prepare_spatial(j, 1, &p, &memory);
  const size_t count = j->batch * SCALES, parts = THIRD / WIDTH;
  j->sums = calloc(parts * count, sizeof(real));
  if (!wrong && !j->sums) wrong = "out of memory";
  if (!wrong) wrong = share_parts(j, outer_work, parts, num_threads);
  if (!wrong) wrong = share_parts(j, near_gradient_work, SECOND / WIDTH, num_threads);
  if (!wrong) wrong = share_parts(j, first_gradient_work, FIRST / WIDTH, num_threads);
  for (size_t i = 0; i < count && !wrong; i++) {
    j->outs[0][i] = 0;
    for (size_t part = 0; part < parts; part++)
      j->outs[0][i] += j->sums[part * count + i];
  }
  free(j->sums);
  free(memory);
  return wrong;
}

/* ------------------------------------------------------------------- seen_settled */

static const char *settled(job *j, size_t num_threads) {
  (void)num_threads;
  size_t num = 0; /* of the arrays, each of which is there twice */
  while (j->inputs[num]) num++;
  if (!are_sizes(j, num, j->elements + num)) return "arrays of other sizes";
  for (size_t i = 0; i < num; i++)
    if (j->outs[i] != j->inputs[i])
      memcpy(j->outs[i], j->inputs[i], j->elements[i] * sizeof(real));
  return NULL;
}

/* ------------------------------------------------------------------ what XLA calls */

static size_t num_elements(const XLA_FFI_Buffer *array) {
  size_t count = 1;
  for (int64_t i = 0; i < array->rank; i++) count *= (size_t)array->dims[i];
  return count;
}

/* Reads what XLA gives, and computes; returns what is wrong, or NULL. The first argument
 * has shape (B, T, N) or (B, T, H, H). */
static const char *compute(const XLA_FFI_CallFrame *frame, int64_t num_inputs,
                           int64_t num_outs, const char *(*fn)(job *, size_t)) {
  if (frame->args.size != num_inputs || frame->rets.size != num_outs ||
      frame->attrs.size != 3 || num_inputs + num_outs > MAX_ARRAYS)
    return "another number of arguments, results or attributes";
  job j = {.header = {.version = VERSION,
                      .real_bytes = sizeof(real),
                      .num_intensity_frames = 1,
                      .num_classes = 1}};
  const XLA_FFI_DataType dtype =
      sizeof(real) == 4 ? XLA_FFI_DataType_F32 : XLA_FFI_DataType_F64;
  for (int64_t i = 0; i < num_inputs; i++) {
    const XLA_FFI_Buffer *input = frame->args.args[i];
    if (input->dtype != dtype) return "another type of numbers";
    j.inputs[i] = input->data;
    j.elements[i] = num_elements(input);
  }
  for (int64_t i = 0; i < num_outs; i++) {
    const XLA_FFI_Buffer *out = frame->rets.rets[i];
    if (out->dtype != dtype) return "another type of numbers";
    j.outs[i] = out->data;
    j.elements[num_inputs + i] = num_elements(out);
  }
  const XLA_FFI_Buffer *input = frame->args.args[0];
  if (input->rank >= 3) {
    j.batch = (size_t)input->dims[0];
    j.length = (size_t)input->dims[1];
    j.size = (size_t)input->dims[2];
  }
  if (j.size > UINT16_MAX && fn != settled) return "size: too large";
  const XLA_FFI_Scalar *attributes[3]; /* decay, threads, threshold: sorted by name */
  for (size_t i = 0; i < 3; i++) attributes[i] = frame->attrs.attrs[i];
  j.header.decay = *(const double *)attributes[0]->value;
  j.header.threshold = *(const double *)attributes[2]->value;
  return fn(&j, (size_t) * (const int64_t *)attributes[1]->value);
}

static XLA_FFI_Error *handle(XLA_FFI_CallFrame *frame, int64_t num_inputs,
                             int64_t num_outs, const char *(*fn)(job *, size_t)) {
  /* The type of what extension_start points to has another name in each version. */
  if (frame->extension_start &&
      frame->extension_start->type == XLA_FFI_Extension_Metadata) {
    /* XLA asks for the version that this was compiled for. */
    void *extension = frame->extension_start;
    XLA_FFI_Metadata *metadata = ((XLA_FFI_Metadata_Extension *)extension)->metadata;
    metadata->api_version.major_version = XLA_FFI_API_MAJOR;
    metadata->api_version.minor_version = XLA_FFI_API_MINOR;
    return NULL;
  }
  const char *wrong = compute(frame, num_inputs, num_outs, fn);
  if (!wrong) return NULL;
  XLA_FFI_Error_Create_Args error = {
      .struct_size = XLA_FFI_Error_Create_Args_STRUCT_SIZE,
      .message = wrong,
      .errc = XLA_FFI_Error_Code_INVALID_ARGUMENT,
  };
  return frame->api->XLA_FFI_Error_Create(&error);
}

XLA_FFI_Error *seen_temporal(XLA_FFI_CallFrame *frame) {
  return handle(frame, 5, 1, temporal);
}

XLA_FFI_Error *seen_sum_rows(XLA_FFI_CallFrame *frame) {
  return handle(frame, 3, 1, sum_rows);
}

XLA_FFI_Error *seen_sum_rows_gradient(XLA_FFI_CallFrame *frame) {
  return handle(frame, 4, 1, rows_gradient);
}

XLA_FFI_Error *seen_settled(XLA_FFI_CallFrame *frame) {
  return handle(frame, frame->args.size, frame->args.size, settled);
}

XLA_FFI_Error *seen_spatial(XLA_FFI_CallFrame *frame) {
  return handle(frame, 5, 2, spatial);
}

XLA_FFI_Error *seen_spatial_gradient(XLA_FFI_CallFrame *frame) {
  return handle(frame, 7, 5, spatial_gradient);
}
