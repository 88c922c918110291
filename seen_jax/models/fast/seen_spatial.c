/* Branch S of a batch and its gradients, for WIDTH channels at a time: a slice. Included
 * by seen_xla.c.
 *
 * Only the attention stands between the images and J_s's currents, so S by scale is one
 * kernel, the table of seen_spikes.c: K = kernel of the first stage, composed with conv2,
 * composed with conv3. For blocks x, attention w, currents y, and gradients g of y, dK,
 *
 *     composed   near[2 u + k] += first[k] conv2[u],  K[4 v + i] += near[i] conv3[v]
 *     y          sum_s w[s] sum_k x[k] K[s, k]                             look_slice
 *     dK[s, k]   sum_examples w[s] sum_blocks x[k] g,                      outer_slice
 *     dw[s]      sum_k K[s, k] sum_blocks x[k] g
 *
 * in rows, and alike in columns. Blocks of the first row see padding, so that two lines
 * of K have a second version, without what padding would give; so have two of `near`.
 * The gradients of a composed kernel are those of a matrix product, for each of the nine
 * taps: of lines[from] kernel[tap] added to lines[to], for a list of pairs. */

#include "seen_spikes.c"

typedef struct {     /* how lines of a kernel become lines of the next one */
  size_t span, cut;  /* lines given, and with second versions */
  size_t step;       /* lines from tap to tap of the next convolution */
  size_t to_span;    /* lines made, */
  size_t twice, tap; /* the first that has a second version, and its first tap */
  size_t to_cut;     /* lines made, with second versions */
  size_t in, out;    /* channels */
} stage;

enum { NEAR_SPAN = 2 * 2 + TAPS, NEAR_LINES = NEAR_SPAN + TWICE };

static const stage second = {
    TAPS, TAPS, 2, NEAR_SPAN, OUTSIDE - 4, 1, NEAR_LINES, FIRST, SECOND,
};
static const stage third = {
    NEAR_SPAN, NEAR_LINES, 4, SPAN, OUTSIDE, 2, LINES, SECOND, THIRD,
};

/* The lines that get what a line gives by a tap; returns how many. */
static size_t lines_to(const stage *s, size_t tap, size_t line, size_t to[2]) {
  to[0] = s->step * tap + line;
  if (line >= s->span) { /* without the padding already: the middle tap alone reads it */
    to[0] = s->to_span + line - s->span;
    return tap == 1;
  }
  to[1] = s->to_span + to[0] - s->twice;
  return tap >= s->tap && to[0] >= s->twice && to[0] < s->twice + TWICE ? 2 : 1;
}

/* Whether a line of a scale's kernel may be other than 0: 3, 5 or 7 of its 7 taps are. */
static int is_used(const stage *s, size_t scale, size_t line) {
  const size_t margin = SCALES - 1 - scale;
  return line >= s->span || (line >= margin && line + margin < s->span);
}

/* Lists which places of `num` frames (scale, y, x, frame) give to which: the first
 * element and the row. Rows made are (scale, y, x, frame), those of the table (frame, y,
 * x, scale). Returns how many. */
static size_t list_pairs(const stage *s, size_t tap, size_t num, product *out) {
  size_t count = 0, ys[2], xs[2];
  for (size_t scale = 0; scale < SCALES; scale++)
    for (size_t y = 0; y < s->cut; y++)
      for (size_t x = 0; x < s->cut; x++) {
        if (!is_used(s, scale, y) || !is_used(s, scale, x)) continue;
        const size_t num_y = lines_to(s, tap / 3, y, ys);
        const size_t num_x = lines_to(s, tap % 3, x, xs);
        for (size_t i = 0; i < num_y * num_x; i++)
          for (size_t n = 0; n < num; n++) {
            const size_t from = ((scale * s->cut + y) * s->cut + x) * num + n;
            const size_t to_y = ys[i / num_x], to_x = xs[i % num_x], lines = s->to_cut;
            const size_t row = s->out == THIRD
                                   ? ((n * lines + to_y) * lines + to_x) * SCALES + scale
                                   : ((scale * lines + to_y) * lines + to_x) * num + n;
            out[count++] = (product){(int32_t)(from * s->in), (int32_t)row};
          }
      }
  return count;
}

typedef struct {
  const stage *stage;
  size_t num_pairs[NINE];
  product *pairs[NINE];
} composer;

typedef struct {
  composer second, third;
  alike kinds[KINDS];
} plan;

static composer cut_composer(const seen_header *h, const stage *s, arena *memory) {
  composer c = {.stage = s};
  const size_t most = SCALES * s->to_cut * s->to_cut; /* a row has one pair of a tap */
  for (size_t tap = 0; tap < NINE; tap++)
    c.pairs[tap] = take(memory, most * h->num_intensity_frames, sizeof(product));
  return c;
}

static plan cut_plan(const seen_header *h, arena *memory) {
  plan p;
  p.second = cut_composer(h, &second, memory);
  p.third = cut_composer(h, &third, memory);
  take_kinds(h, memory, p.kinds);
  return p;
}

static void list_all_pairs(const seen_header *h, composer *c) {
  for (size_t tap = 0; tap < NINE; tap++)
    c->num_pairs[tap] =
        list_pairs(c->stage, tap, h->num_intensity_frames, c->pairs[tap]);
}

static void list_plan(const seen_header *h, plan *p) {
  list_all_pairs(h, &p->second);
  list_all_pairs(h, &p->third);
  list_kinds(h, p->kinds);
}

static void add_row(real *out, const real *in) {
  for (size_t c = 0; c < WIDTH; c++) out[c] += in[c];
}

/* Adds a slice of lines (rows, out) of `from` (.., in) by a slice of a kernel. */
static void compose_slice(const composer *c, const real *from, const real *kernel,
                          real *to, size_t stride) {
  const stage *s = c->stage;
  product channels[SECOND];
  for (int32_t i = 0; i < (int32_t)s->in; i++) channels[i] = (product){i, i};
  for (size_t tap = 0; tap < NINE; tap++, kernel += s->in * s->out)
    for (size_t begin = 0; begin < c->num_pairs[tap]; begin += TILE) {
      const product *pairs = c->pairs[tap] + begin;
      const size_t left = c->num_pairs[tap] - begin, num = left < TILE ? left : TILE;
      const real *at[TILE];
      real sum[TILE * WIDTH];
      for (size_t i = 0; i < num; i++) at[i] = from + pairs[i].pixel;
      dense(num, at, channels, s->in, kernel, s->out, sum, WIDTH);
      for (size_t i = 0; i < num; i++)
        add_row(to + (size_t)pairs[i].row * stride, sum + i * WIDTH);
    }
}

/* The gradient of a slice of the kernel, from that of the lines made. */
static void kernel_slice(const composer *c, const real *from, const real *gradient,
                         size_t stride, real *out) {
  const stage *s = c->stage;
  for (size_t tap = 0; tap < NINE; tap++)
    for (size_t begin = 0; begin < s->in; begin += TILE) {
      const size_t num = s->in - begin < TILE ? s->in - begin : TILE;
      const real *at[TILE];
      for (size_t i = 0; i < num; i++) at[i] = from + begin + i;
      dense(num, at, c->pairs[tap], c->num_pairs[tap], gradient, stride,
            out + (tap * s->in + begin) * s->out, s->out);
    }
}

/* Adds the gradient of a slice of the lines given, whose first channel is `first`. That
 * of the lines made has its channel i of a row at channels[i], rows `stride` apart. The
 * memory holds a tap's kernel, transposed. */
static void lines_slice(const composer *c, const real *gradient, const product *channels,
                        size_t stride, const real *kernel, size_t first, real *memory,
                        real *out) {
  const stage *s = c->stage;
  for (size_t tap = 0; tap < NINE; tap++) {
    for (size_t i = 0; i < s->out; i++)
      for (size_t k = 0; k < WIDTH; k++)
        memory[i * WIDTH + k] = kernel[(tap * s->in + first + k) * s->out + i];
    for (size_t begin = 0; begin < c->num_pairs[tap]; begin += TILE) {
      const product *pairs = c->pairs[tap] + begin;
      const size_t left = c->num_pairs[tap] - begin, num = left < TILE ? left : TILE;
      const real *at[TILE];
      real sum[TILE * WIDTH];
      for (size_t i = 0; i < num; i++) at[i] = gradient + (size_t)pairs[i].row * stride;
      dense(num, at, channels, s->out, memory, WIDTH, sum, WIDTH);
      for (size_t i = 0; i < num; i++) add_row(out + pairs[i].pixel, sum + i * WIDTH);
    }
  }
}

/* Adds to a slice of dK and to dw (batch, 3), from padded images (batch, pixels), the
 * attention (batch, 3), K and a slice of g (batch, n * n, WIDTH). Some places of all
 * examples follow each other, so that their K and dK stay in the nearest cache. */
static void outer_slice(const alike kinds[KINDS], const real *images, size_t pixels,
                        size_t batch, const real *w, const real *table, const real *g,
                        size_t blocks, real *dtable, real *dw) {
  enum { SOME = 3 * TILE };
  for (const alike *a = kinds; a < kinds + KINDS; a++)
    for (size_t some = 0; some < a->num_products; some += SOME)
      for (size_t b = 0; b < batch; b++) {
        const size_t left = a->num_products - some;
        const size_t end = some + (left < SOME ? left : SOME);
        real sums[SCALES][WIDTH] = {{0}};
        for (size_t begin = some; begin < end; begin += TILE) {
          const size_t num = end - begin < TILE ? end - begin : TILE;
          const product *places = a->products + begin;
          const real *at[TILE];
          real sum[TILE * WIDTH];
          for (size_t i = 0; i < num; i++) at[i] = images + b * pixels + places[i].pixel;
          dense(num, at, a->blocks, a->num_blocks, g + b * blocks * WIDTH, WIDTH, sum,
                WIDTH);
          for (size_t i = 0; i < num; i++)
            for (size_t s = 0; s < SCALES; s++) {
              const size_t row = ((size_t)places[i].row * SCALES + s) * WIDTH;
              for (size_t c = 0; c < WIDTH; c++) {
                dtable[row + c] += w[b * SCALES + s] * sum[i * WIDTH + c];
                sums[s][c] += table[row + c] * sum[i * WIDTH + c];
              }
            }
        }
        for (size_t s = 0; s < SCALES; s++)
          for (size_t c = 0; c < WIDTH; c++) dw[b * SCALES + s] += sums[s][c];
      }
}
