// The selective scan as one compiled loop, forward and backward; core/models/layers/compiled.py builds and calls it.
//
//   h_t = exp(delta_t A) h_{t-1} + delta_t B_t x_t        y_t = (C_t h_t + D x_t) * silu(gate_t)
//
// Layout: x, delta, gate, y are batch x length x channels, B and C batch x length x states, A channels x states. A
// row (one step) is contiguous; x, gate, B and C may be slices of wider rows, so each comes with the distance from one
// row to the next. `reverse` runs time backwards.
//
// WIDTH channels are worked on side by side: the innermost loops run over them and are what the compiler vectorises.
// The forward pass keeps the state at every CHUNK-th step only; the backward pass computes those between again, a chunk
// at a time, in memory that fits the second-level cache.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <system_error>
#include <thread>
#include <vector>

namespace {

constexpr int WIDTH = 32;
constexpr int64_t CHUNK = 16;
constexpr double LOG2E = 1.4426950408889634, LN2 = 0.6931471805599453;

struct Sizes {
  int64_t batch, length, channels, states, threads, reverse;
  int64_t chunks() const { return (length + CHUNK - 1) / CHUNK; }
};

template <class T>
struct Rows {  // one tensor, a row for every step of every sequence
  T* data;
  int64_t stride;
};

template <class T>
struct Inputs {
  Rows<const T> x, delta, B, C, gate;
  const T *A, *D;
};

template <class T>
struct Gradients {
  Rows<T> x, delta, B, C, gate;
  T *A, *D;  // a copy for each thread, summed by the caller
};

// 2^z to float rounding (relative error 7e-8): a polynomial for the fraction, through 1 at 0, so that a slow decay keeps
// its distance from 1; the exponent's bits for the rest. Below 2^-126 it stays there. NaN stays NaN.
inline float exp2_of(float z) {
  z = z < -126.0f ? -126.0f : (z > 127.0f ? 127.0f : z);
  const float whole = std::nearbyint(z), f = z - whole;
  float p = 1.54531629423e-4f;
  p = p * f + 1.33908633646e-3f;
  p = p * f + 9.61808255729e-3f;
  p = p * f + 5.55035711422e-2f;
  p = p * f + 2.40226507606e-1f;
  p = p * f + 6.93147188026e-1f;
  p = p * f + 1.0f;
  const uint32_t bits = static_cast<uint32_t>(static_cast<int32_t>(whole) + 127) << 23;
  float scale;
  std::memcpy(&scale, &bits, sizeof scale);
  return p * scale;
}

inline double exp2_of(double z) { return std::exp2(z); }

template <class T>
inline T sigmoid(T v) {
  return T(1) / (T(1) + exp2_of(v * T(-LOG2E)));
}

// WIDTH channels of one row, from `from` on; zeros where the row ends before them.
template <class T>
inline void load(T* into, const T* row, int64_t from, int64_t width) {
  if (width == WIDTH) {
    std::memcpy(into, row + from, WIDTH * sizeof(T));
  } else {
    std::fill(into, into + WIDTH, T(0));
    std::copy(row + from, row + from + width, into);
  }
}

template <class T>
inline void store(T* row, int64_t from, int64_t width, const T* values) {
  std::memcpy(row + from, values, width * sizeof(T));
}

// A of WIDTH channels, states x WIDTH, times log2(e): the scan works with powers of two.
template <class T>
void load_rates(T* into, const T* A, int64_t from, int64_t width, int64_t states) {
  std::fill(into, into + states * WIDTH, T(0));
  for (int64_t i = 0; i < width; ++i)
    for (int64_t n = 0; n < states; ++n) into[n * WIDTH + i] = A[(from + i) * states + n] * T(LOG2E);
}

// work(first, last, thread) over the sequences of the batch, each thread a contiguous share of them
template <class Work>
void share(const Sizes& s, Work work) {
  const int64_t threads = std::max<int64_t>(1, std::min(s.threads, s.batch));
  std::vector<std::thread> others;
  others.reserve(threads);
  for (int64_t k = 1; k < threads; ++k) {
    const int64_t first = s.batch * k / threads, last = s.batch * (k + 1) / threads;
    try {
      others.emplace_back(work, first, last, k);
    } catch (const std::system_error&) {  // no thread to be had
      work(first, last, k);
    }
  }
  work(0, s.batch / threads, 0);
  for (auto& other : others) other.join();
}

template <class T>
void forward(const Sizes s, const Inputs<T> in, T* y, T* kept) {
  share(s, [=](int64_t first, int64_t last, int64_t) {
    const int64_t N = s.states;
    std::vector<T> rates(N * WIDTH), h(N * WIDTH);
    T x[WIDTH], delta[WIDTH], input[WIDTH], out[WIDTH], gate[WIDTH];
    for (int64_t b = first; b < last; ++b)
      for (int64_t from = 0; from < s.channels; from += WIDTH) {
        const int64_t width = std::min<int64_t>(WIDTH, s.channels - from);
        load_rates(rates.data(), in.A, from, width, N);
        std::fill(h.begin(), h.end(), T(0));
        for (int64_t step = 0; step < s.length; ++step) {
          if (kept && step % CHUNK == 0)
            for (int64_t n = 0; n < N; ++n)
              store(kept + ((b * s.chunks() + step / CHUNK) * N + n) * s.channels, from, width, &h[n * WIDTH]);
          const int64_t row = b * s.length + (s.reverse ? s.length - 1 - step : step);
          load(x, in.x.data + row * in.x.stride, from, width);
          load(delta, in.delta.data + row * in.delta.stride, from, width);
          for (int i = 0; i < WIDTH; ++i) input[i] = delta[i] * x[i], out[i] = T(0);
          const T *B = in.B.data + row * in.B.stride, *C = in.C.data + row * in.C.stride;
          for (int64_t n = 0; n < N; ++n) {
            const T Bn = B[n], Cn = C[n], *rate = &rates[n * WIDTH];
            T* hn = &h[n * WIDTH];
#pragma omp simd
            for (int i = 0; i < WIDTH; ++i) {
              hn[i] = exp2_of(delta[i] * rate[i]) * hn[i] + input[i] * Bn;
              out[i] += hn[i] * Cn;
            }
          }
          if (in.D) {
            load(input, in.D, from, width);
            for (int i = 0; i < WIDTH; ++i) out[i] += input[i] * x[i];
          }
          if (in.gate.data) {
            load(gate, in.gate.data + row * in.gate.stride, from, width);
#pragma omp simd
            for (int i = 0; i < WIDTH; ++i) out[i] *= gate[i] * sigmoid(gate[i]);
          }
          store(y + row * s.channels, from, width, out);
        }
      }
  });
}

// Names as above; d_ is the gradient of what follows it.
template <class T>
void backward(const Sizes s, const Inputs<T> in, const T* d_y, const T* kept, const Gradients<T> to) {
  share(s, [=](int64_t first, int64_t last, int64_t thread) {
    const int64_t N = s.states, block = N * WIDTH;
    std::vector<T> rates(block), d_h(block), d_A(block), decay(CHUNK * block), h((CHUNK + 1) * block);
    T x[WIDTH], delta[WIDTH], input[WIDTH], gate[WIDTH], D[WIDTH] = {}, d_D[WIDTH];
    T out[CHUNK][WIDTH], d_out[WIDTH], d_x[WIDTH], d_delta[WIDTH], d_input[WIDTH], d_gate[WIDTH];
    T* thread_A = to.A + thread * s.channels * N;
    T* thread_D = to.D + thread * s.channels;
    for (int64_t b = first; b < last; ++b)
      for (int64_t from = 0; from < s.channels; from += WIDTH) {
        const int64_t width = std::min<int64_t>(WIDTH, s.channels - from);
        load_rates(rates.data(), in.A, from, width, N);
        if (in.D) load(D, in.D, from, width);
        std::fill(d_h.begin(), d_h.end(), T(0));
        std::fill(d_A.begin(), d_A.end(), T(0));
        std::fill(d_D, d_D + WIDTH, T(0));
        for (int64_t chunk = s.chunks() - 1; chunk >= 0; --chunk) {
          const int64_t begin = chunk * CHUNK, steps = std::min(CHUNK, s.length - begin);
          const auto row_of = [&](int64_t k) {
            return b * s.length + (s.reverse ? s.length - 1 - begin - k : begin + k);
          };
          // the chunk's states and decays again
          for (int64_t n = 0; n < N; ++n)
            load(&h[n * WIDTH], kept + ((b * s.chunks() + chunk) * N + n) * s.channels, from, width);
          for (int64_t k = 0; k < steps; ++k) {
            const int64_t row = row_of(k);
            load(x, in.x.data + row * in.x.stride, from, width);
            load(delta, in.delta.data + row * in.delta.stride, from, width);
            for (int i = 0; i < WIDTH; ++i) input[i] = delta[i] * x[i], out[k][i] = D[i] * x[i];
            const T *B = in.B.data + row * in.B.stride, *C = in.C.data + row * in.C.stride;
            for (int64_t n = 0; n < N; ++n) {
              const T Bn = B[n], Cn = C[n], *rate = &rates[n * WIDTH], *before = &h[k * block + n * WIDTH];
              T *a = &decay[k * block + n * WIDTH], *after = &h[(k + 1) * block + n * WIDTH];
#pragma omp simd
              for (int i = 0; i < WIDTH; ++i) {
                a[i] = exp2_of(delta[i] * rate[i]);
                after[i] = a[i] * before[i] + input[i] * Bn;
                out[k][i] += after[i] * Cn;
              }
            }
          }
          for (int64_t k = steps - 1; k >= 0; --k) {
            const int64_t row = row_of(k);
            load(x, in.x.data + row * in.x.stride, from, width);
            load(delta, in.delta.data + row * in.delta.stride, from, width);
            load(d_out, d_y + row * s.channels, from, width);
            if (in.gate.data) {
              load(gate, in.gate.data + row * in.gate.stride, from, width);
#pragma omp simd
              for (int i = 0; i < WIDTH; ++i) {
                const T open = sigmoid(gate[i]), silu = gate[i] * open;
                d_gate[i] = d_out[i] * out[k][i] * (open + silu * (T(1) - open));
                d_out[i] *= silu;
              }
              store(to.gate.data + row * to.gate.stride, from, width, d_gate);
            }
            for (int i = 0; i < WIDTH; ++i) {
              input[i] = delta[i] * x[i];
              d_D[i] += d_out[i] * x[i];
              d_delta[i] = d_input[i] = T(0);
            }
            const T *B = in.B.data + row * in.B.stride, *C = in.C.data + row * in.C.stride;
            T *d_B = to.B.data + row * to.B.stride, *d_C = to.C.data + row * to.C.stride;
            for (int64_t n = 0; n < N; ++n) {
              const T Bn = B[n], Cn = C[n], *rate = &rates[n * WIDTH], *a = &decay[k * block + n * WIDTH];
              const T *before = &h[k * block + n * WIDTH], *after = before + block;
              T *d_hn = &d_h[n * WIDTH], *d_An = &d_A[n * WIDTH], sum_B = 0, sum_C = 0;
#pragma omp simd reduction(+ : sum_B, sum_C)
              for (int i = 0; i < WIDTH; ++i) {
                const T d = d_hn[i] + d_out[i] * Cn, carried = d * a[i], d_rate = carried * before[i];
                sum_C += d_out[i] * after[i];
                sum_B += d * input[i];
                d_input[i] += d * Bn;
                d_delta[i] += d_rate * rate[i];
                d_An[i] += d_rate * delta[i];
                d_hn[i] = carried;
              }
              d_B[n] += sum_B;
              d_C[n] += sum_C;
            }
            for (int i = 0; i < WIDTH; ++i) {
              d_x[i] = d_input[i] * delta[i] + d_out[i] * D[i];
              d_delta[i] = d_delta[i] * T(LN2) + d_input[i] * x[i];
            }
            store(to.x.data + row * to.x.stride, from, width, d_x);
            store(to.delta.data + row * to.delta.stride, from, width, d_delta);
          }
        }
        for (int64_t i = 0; i < width; ++i) {
          thread_D[from + i] += d_D[i];
          for (int64_t n = 0; n < N; ++n) thread_A[(from + i) * N + n] += d_A[n * WIDTH + i];
        }
      }
  });
}

}  // namespace

#define EXPORT(T, name)                                                                                              \
  extern "C" void scan_forward_##name(const Sizes* s, const Inputs<T>* in, T* y, T* kept) { forward(*s, *in, y, kept); } \
  extern "C" void scan_backward_##name(const Sizes* s, const Inputs<T>* in, const T* d_y, const T* kept,              \
                                       const Gradients<T>* to) {                                                     \
    backward(*s, *in, d_y, kept, *to);                                                                               \
  }
EXPORT(float, float32)
EXPORT(double, float64)
extern "C" int64_t scan_chunk() { return CHUNK; }
