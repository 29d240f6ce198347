/* The layers of EfficientNet-Lite that PyTorch computes slowly in bfloat16 on a CPU: the gradient of a
 * depthwise convolution, and batch normalisation with ReLU6, forward and backward.
 *
 * Arrays are channels last: rows (a pixel of a face) of `channels` bfloat16 numbers. Sums are float32 within a
 * stretch of rows and float64 over stretches. Sixteen channels make a vector; `tail` masks the last.
 * Needs AVX-512 with its bfloat16 instructions. No state: callers may be on several threads.
 */
#include <immintrin.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LANES 16
#define INLINE static inline __attribute__((always_inline))

typedef uint16_t bfloat16;

INLINE __m512 load(const bfloat16 *from, __mmask16 lanes) {
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

INLINE void store(bfloat16 *to, __mmask16 lanes, __m512 value) {
    _mm256_mask_storeu_epi16(to, lanes, (__m256i)_mm512_cvtneps_pbh(value));
}

INLINE __mmask16 tail(long left) { return left >= LANES ? 0xFFFF : left <= 0 ? 0 : (__mmask16)((1u << left) - 1); }

/* Rows of `channels` numbers to rows of `vectors` whole vectors in float32, and back. */
INLINE void widen(int vectors, const bfloat16 *from, float *to, long rows, long channels, long left) {
    for (long row = 0; row < rows; row++)
        for (int v = 0; v < vectors; v++)
            _mm512_storeu_ps(to + (row * vectors + v) * LANES,
                             load(from + row * channels + v * LANES, tail(left - v * LANES)));
}

INLINE void narrow(int vectors, const float *from, bfloat16 *to, long rows, long channels, long left) {
    for (long row = 0; row < rows; row++)
        for (int v = 0; v < vectors; v++)
            store(to + row * channels + v * LANES, tail(left - v * LANES),
                  _mm512_loadu_ps(from + (row * vectors + v) * LANES));
}

typedef struct {
    long faces, channels, height, width, out_height, out_width, kernel, stride, padding;
} Shape;

/* One tap of the kernel along one row of the output: the weight's gradient is summed, the input's added to. */
INLINE void tap(int vectors, const float *gradient, const float *input, float *to_input, const float *weight,
                float *to_weight, long steps, long stride) {
    __m512 sum[4], factor[4];
    for (int v = 0; v < vectors; v++) {
        sum[v] = _mm512_loadu_ps(to_weight + v * LANES);
        factor[v] = _mm512_loadu_ps(weight + v * LANES);
    }
    for (long step = 0; step < steps; step++) {
        for (int v = 0; v < vectors; v++) {
            __m512 value = _mm512_loadu_ps(gradient + v * LANES);
            float *place = to_input + v * LANES;
            sum[v] = _mm512_fmadd_ps(value, _mm512_loadu_ps(input + v * LANES), sum[v]);
            _mm512_storeu_ps(place, _mm512_fmadd_ps(value, factor[v], _mm512_loadu_ps(place)));
        }
        gradient += vectors * LANES;
        input += stride * vectors * LANES;
        to_input += stride * vectors * LANES;
    }
    for (int v = 0; v < vectors; v++) _mm512_storeu_ps(to_weight + v * LANES, sum[v]);
}

/* The gradients of `vectors` vectors of channels, from `first` on. Weights and their gradient: (channels, k, k). */
INLINE int depthwise(int vectors, const Shape *s, long first, const bfloat16 *gradient, const bfloat16 *input,
                     const float *weight, bfloat16 *to_input, float *to_weight) {
    long block = vectors * LANES, taps = s->kernel * s->kernel, left = s->channels - first;
    long inside = s->height * s->width, outside = s->out_height * s->out_width;
    float *buffer = aligned_alloc(64, (2 * inside + outside + 2 * taps) * block * sizeof(float));
    if (!buffer) return 1;
    float *x = buffer, *to_x = x + inside * block, *g = to_x + inside * block;
    float *w = g + outside * block, *to_w = w + taps * block;
    memset(w, 0, 2 * taps * block * sizeof(float));
    for (long t = 0; t < taps; t++)
        for (long c = 0; c < block && c < left; c++) w[t * block + c] = weight[(first + c) * taps + t];
    for (long face = 0; face < s->faces; face++) {
        widen(vectors, input + face * inside * s->channels + first, x, inside, s->channels, left);
        widen(vectors, gradient + face * outside * s->channels + first, g, outside, s->channels, left);
        memset(to_x, 0, inside * block * sizeof(float));
        for (long row = 0; row < s->out_height; row++)
            for (long ky = 0; ky < s->kernel; ky++) {
                long y = row * s->stride - s->padding + ky;
                if (y < 0 || y >= s->height) continue;
                for (long kx = 0; kx < s->kernel; kx++) {
                    long begin = 0, end = s->out_width, shift = kx - s->padding, t = (ky * s->kernel + kx) * block;
                    while (begin < end && begin * s->stride + shift < 0) begin++;
                    while (end > begin && (end - 1) * s->stride + shift >= s->width) end--;
                    long place = (y * s->width + begin * s->stride + shift) * block;
                    if (begin < end)
                        tap(vectors, g + (row * s->out_width + begin) * block, x + place, to_x + place, w + t,
                            to_w + t, end - begin, s->stride);
                }
            }
        narrow(vectors, to_x, to_input + face * inside * s->channels + first, inside, s->channels, left);
    }
    for (long t = 0; t < taps; t++)
        for (long c = 0; c < block && c < left; c++) to_weight[(first + c) * taps + t] = to_w[t * block + c];
    free(buffer);
    return 0;
}

/* 0, or 1 where there is no memory. */
int depthwise_gradient(const Shape *s, const bfloat16 *gradient, const bfloat16 *input, const float *weight,
                       bfloat16 *to_input, float *to_weight) {
    int failed = 0;
    for (long first = 0; first < s->channels && !failed;) {
        long left = s->channels - first;
        if (left > 2 * LANES) {
            failed = depthwise(3, s, first, gradient, input, weight, to_input, to_weight);
            first += 3 * LANES;
        } else if (left > LANES) {
            failed = depthwise(2, s, first, gradient, input, weight, to_input, to_weight);
            first += 2 * LANES;
        } else {
            failed = depthwise(1, s, first, gradient, input, weight, to_input, to_weight);
            first += LANES;
        }
    }
    return failed;
}

/* So many rows that they stay in the nearest cache while each vector of channels passes over them. */
INLINE long stretch(long channels) { return channels > 512 ? 16 : 8192 / channels; }

INLINE void add_to(double *sums, __m512 value, long count) {
    float lanes[LANES];
    _mm512_storeu_ps(lanes, value);
    for (long c = 0; c < count && c < LANES; c++) sums[c] += lanes[c];
}

/* What normalisation made of a value, and whether ReLU6 let it through unchanged. */
INLINE __mmask16 passed(__m512 value, __m512 scale, __m512 shift) {
    __m512 made = _mm512_fmadd_ps(value, scale, shift);
    return _mm512_cmp_ps_mask(made, _mm512_setzero_ps(), _CMP_GT_OQ) &
           _mm512_cmp_ps_mask(made, _mm512_set1_ps(6), _CMP_LT_OQ);
}

/* Adds to `sums` (channels,) and `squares` (channels,) those of the rows. */
void norm_moments(long rows, long channels, const bfloat16 *input, double *sums, double *squares) {
    for (long from = 0, step = stretch(channels); from < rows; from += step)
        for (long c = 0; c < channels; c += LANES) {
            long to = from + step < rows ? from + step : rows;
            __m512 sum = _mm512_setzero_ps(), square = sum;
            for (long row = from; row < to; row++) {
                __m512 value = load(input + row * channels + c, tail(channels - c));
                sum = _mm512_add_ps(sum, value);
                square = _mm512_fmadd_ps(value, value, square);
            }
            add_to(sums + c, sum, channels - c);
            add_to(squares + c, square, channels - c);
        }
}

/* input * scale + shift, cut to 0..6 where `relu6`. */
void norm_apply(long rows, long channels, int relu6, const bfloat16 *input, const float *scale,
                const float *shift, bfloat16 *output) {
    __m512 none = _mm512_setzero_ps(), six = _mm512_set1_ps(6);
    for (long row = 0; row < rows; row++)
        for (long c = 0; c < channels; c += LANES) {
            __mmask16 lanes = tail(channels - c);
            __m512 value = load(input + row * channels + c, lanes);
            value = _mm512_fmadd_ps(value, _mm512_maskz_loadu_ps(lanes, scale + c),
                                    _mm512_maskz_loadu_ps(lanes, shift + c));
            if (relu6) value = _mm512_min_ps(_mm512_max_ps(value, none), six);
            store(output + row * channels + c, lanes, value);
        }
}

/* Adds to `sums` that of the gradient behind the activation, and to `products` that of it times the input. */
void norm_gradient_sums(long rows, long channels, int relu6, const bfloat16 *gradient, const bfloat16 *input,
                        const float *scale, const float *shift, double *sums, double *products) {
    for (long from = 0, step = stretch(channels); from < rows; from += step)
        for (long c = 0; c < channels; c += LANES) {
            long to = from + step < rows ? from + step : rows;
            __mmask16 lanes = tail(channels - c);
            __m512 a = _mm512_maskz_loadu_ps(lanes, scale + c), b = _mm512_maskz_loadu_ps(lanes, shift + c);
            __m512 sum = _mm512_setzero_ps(), product = sum;
            for (long row = from; row < to; row++) {
                __m512 value = load(input + row * channels + c, lanes), g = load(gradient + row * channels + c, lanes);
                if (relu6) g = _mm512_maskz_mov_ps(passed(value, a, b), g);
                sum = _mm512_add_ps(sum, g);
                product = _mm512_fmadd_ps(g, value, product);
            }
            add_to(sums + c, sum, channels - c);
            add_to(products + c, product, channels - c);
        }
}

/* gradient behind the activation * of_gradient + input * of_input + rest. */
void norm_gradient_apply(long rows, long channels, int relu6, const bfloat16 *gradient, const bfloat16 *input,
                         const float *scale, const float *shift, const float *of_gradient, const float *of_input,
                         const float *rest, bfloat16 *to_input) {
    for (long row = 0; row < rows; row++)
        for (long c = 0; c < channels; c += LANES) {
            __mmask16 lanes = tail(channels - c);
            __m512 value = load(input + row * channels + c, lanes), g = load(gradient + row * channels + c, lanes);
            if (relu6)
                g = _mm512_maskz_mov_ps(passed(value, _mm512_maskz_loadu_ps(lanes, scale + c),
                                               _mm512_maskz_loadu_ps(lanes, shift + c)), g);
            __m512 own = _mm512_fmadd_ps(value, _mm512_maskz_loadu_ps(lanes, of_input + c),
                                         _mm512_maskz_loadu_ps(lanes, rest + c));
            store(to_input + row * channels + c, lanes,
                  _mm512_fmadd_ps(g, _mm512_maskz_loadu_ps(lanes, of_gradient + c), own));
        }
}
