// The convolutions of CASA's score, forward and backward; core/models/layers/compiled.py builds and calls it.
//
// Seven series of every window: the tokens' features (0), three times halved (1, 2, 3), three times doubled (4, 5, 6).
// A position is a contiguous row of channels, and `half` positions of zeros lie at both ends of every series. The weights
// of a layer are kernel x channels of the longer series x channels of the shorter, whichever of the two is its input:
//
//   halve    short[i]         = sum over taps t of  long[2 i + t - half] W[t]
//   double_  long[2 i + t - half] += short[i] W[t]^T          (gathered: each of two phases is a sum over neighbours)
//
// Each is the other's gradient, and both are products in which one row of the left side is a run of neighbouring
// positions as they lie in memory: nothing is copied together first. What the multiplication needs are panels of the
// right side, WIDE columns each, and tiles of ROWS x WIDE sums that stay in registers.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <system_error>
#include <thread>
#include <vector>

namespace {

constexpr int LAYERS = 6, SERIES = 7, BLOCK = 128, CACHED = 32768;

template <class T>
struct Vector {
  typedef T type __attribute__((vector_size(32), aligned(sizeof(T)), may_alias));
  static constexpr int lanes = 32 / sizeof(T);
};
template <class T>
constexpr int WIDE = 2 * Vector<T>::lanes;
constexpr int ROWS = 6;

struct Sizes {
  int64_t windows, tokens, width, kernel, threads;
  int64_t half() const { return kernel / 2; }
  int64_t length(int series) const { return width >> (series < 3 ? series : 6 - series); }
  int64_t channels(int series) const {
    const int level = series < 3 ? series : 6 - series;
    return level == 0 ? tokens : width >> (3 - level);
  }
  int64_t padded(int series) const { return (length(series) + 2 * half()) * channels(series); }
  int64_t kept() const {  // values of one window that the backward pass reads: series 0 to 5
    int64_t sum = 0;
    for (int i = 0; i < SERIES - 1; ++i) sum += padded(i);
    return sum;
  }
  int64_t longer(int layer) const { return channels(layer < 3 ? layer : layer + 1); }
  int64_t shorter(int layer) const { return channels(layer < 3 ? layer + 1 : layer); }
  int64_t weights(int layer) const { return kernel * longer(layer) * shorter(layer); }
};

// One series of several windows
template <class T>
struct Windows {
  T* data;         // the first position that is not padding, of the first window
  int64_t window;  // values from one window to the next
};

// rows x columns -> panels of WIDE columns, the last filled up with zeros; column n of row k is at(k)[n * step]
template <class T, class At>
std::vector<T> panels(int64_t rows, int64_t columns, int64_t step, At at) {
  const int64_t count = (columns + WIDE<T> - 1) / WIDE<T>;
  std::vector<T> packed(count * rows * WIDE<T>, T(0));
  T* to = packed.data();
  for (int64_t n = 0; n < columns; n += WIDE<T>) {
    const int64_t used = std::min<int64_t>(WIDE<T>, columns - n);
    for (int64_t k = 0; k < rows; ++k, to += WIDE<T>) {
      const T* from = at(k) + n * step;
      for (int64_t j = 0; j < used; ++j) to[j] = from[j * step];
    }
  }
  return packed;
}

// Rows of the left side that lie `step` apart, `count` in every window
template <class T>
struct Left {
  Windows<const T> from;
  int64_t windows, count, step, run;  // `run` values make one row
  const T* row(int64_t at) const { return from.data + at / count * from.window + at % count * step; }
};

// One panel's columns of to[row] = left[row] x panel + bias: tiles of R rows and P vectors
template <class T, int R, int P>
void multiply_panel(const Left<T>& left, const T* panel, const T* bias, Windows<T> to, int64_t to_step, int64_t used) {
  using V = typename Vector<T>::type;
  constexpr int L = Vector<T>::lanes;
  const int64_t rows = left.windows * left.count;
  T start[P * L] = {};
  if (bias) std::copy(bias, bias + used, start);
  for (int64_t row = 0; row < rows; row += R) {
    const T* a[R];
    V sum[R][P];
    for (int r = 0; r < R; ++r) {  // beyond the last row, the last row again
      a[r] = left.row(std::min(row + r, rows - 1));
      std::memcpy(sum[r], start, sizeof start);
    }
    const T* p = panel;
    for (int64_t k = 0; k < left.run; ++k, p += WIDE<T>) {
      V right[P];
      for (int v = 0; v < P; ++v) right[v] = *reinterpret_cast<const V*>(p + v * L);
      for (int r = 0; r < R; ++r)
        for (int v = 0; v < P; ++v) sum[r][v] += a[r][k] * right[v];
    }
    for (int r = 0; r < R && row + r < rows; ++r) {
      T* out = to.data + (row + r) / left.count * to.window + (row + r) % left.count * to_step;
      if (used == P * L)
        std::memcpy(out, sum[r], sizeof sum[r]);
      else
        std::memcpy(out, sum[r], used * sizeof(T));
    }
  }
}

template <class T>
void multiply(const Left<T>& left, const T* panel, const T* bias, Windows<T> to, int64_t to_step, int64_t columns) {
  for (int64_t n = 0; n < columns; n += WIDE<T>, panel += left.run * WIDE<T>) {
    const int64_t used = std::min<int64_t>(WIDE<T>, columns - n);
    const T* from = bias ? bias + n : nullptr;
    if (used > Vector<T>::lanes)
      multiply_panel<T, ROWS, 2>(left, panel, from, {to.data + n, to.window}, to_step, used);
    else  // few tokens: half of the panel is empty
      multiply_panel<T, 2 * ROWS, 1>(left, panel, from, {to.data + n, to.window}, to_step, used);
  }
}

// A layer's weights as both directions need them
template <class T>
struct Packed {
  int64_t longer, shorter, half;
  std::vector<T> halving, doubling[2];
  int64_t last[2], run[2];  // of each phase: the furthest neighbour behind, and how many take part

  void for_halving(const T* weight, int64_t kernel) {
    halving = panels<T>(kernel * longer, shorter, 1, [=, this](int64_t k) { return weight + k * shorter; });
  }

  void for_doubling(const T* weight, int64_t kernel) {
    for (int phase = 0; phase < 2; ++phase) {
      // position 2 i + phase hears of short[i - s] through tap 2 s + phase + half
      const int64_t shift = phase + half, first = -(shift / 2);
      last[phase] = (kernel - 1 - shift) >> 1;
      run[phase] = last[phase] - first + 1;
      const int64_t furthest = last[phase];
      doubling[phase] = panels<T>(run[phase] * shorter, longer, shorter, [=, this](int64_t k) {
        const int64_t tap = 2 * (furthest - k / shorter) + shift;
        return weight + tap * longer * shorter + k % shorter;
      });
    }
  }

  void halve(int64_t windows, int64_t length, Windows<const T> from, const T* bias, Windows<T> to, int64_t kernel) const {
    const Left<T> left{{from.data - half * longer, from.window}, windows, length / 2, 2 * longer, kernel * longer};
    multiply<T>(left, halving.data(), bias, to, shorter, shorter);
  }

  void double_(int64_t windows, int64_t length, Windows<const T> from, const T* bias, Windows<T> to) const {
    for (int phase = 0; phase < 2; ++phase) {
      const T* furthest = from.data - last[phase] * shorter;
      const Left<T> left{{furthest, from.window}, windows, length, shorter, run[phase] * shorter};
      multiply<T>(left, doubling[phase].data(), bias, {to.data + phase * longer, to.window}, 2 * longer, longer);
    }
  }
};

// to (rows of the left side's run x columns) += sum over positions of left[position] x right[position]
template <class T>
void outer(const Left<T>& left, Windows<const T> right, int64_t columns, T* to, std::vector<T>& scratch) {
  using V = typename Vector<T>::type;
  constexpr int L = Vector<T>::lanes;
  const int64_t all = left.windows * left.count;
  const T* a[BLOCK];
  scratch.assign((columns + WIDE<T> - 1) / WIDE<T> * BLOCK * WIDE<T>, T(0));
  for (int64_t begin = 0; begin < all; begin += BLOCK) {
    const int64_t size = std::min<int64_t>(BLOCK, all - begin);
    for (int64_t i = 0; i < size; ++i) {  // the right side's rows as panels
      a[i] = left.row(begin + i);
      const T* b = right.data + (begin + i) / left.count * right.window + (begin + i) % left.count * columns;
      for (int64_t n = 0; n < columns; n += WIDE<T>)
        std::copy(b + n, b + std::min<int64_t>(n + WIDE<T>, columns), &scratch[n * BLOCK + i * WIDE<T>]);
    }
    for (int64_t n = 0; n < columns; n += WIDE<T>) {
      const int64_t used = std::min<int64_t>(WIDE<T>, columns - n);
      for (int64_t k = 0; k < left.run; k += ROWS) {
        const int64_t here = std::min<int64_t>(ROWS, left.run - k);
        int64_t offset[ROWS];
        for (int r = 0; r < ROWS; ++r) offset[r] = k + std::min<int64_t>(r, here - 1);
        V sum[ROWS][2] = {};
        const T* p = &scratch[n * BLOCK];
        for (int64_t i = 0; i < size; ++i, p += WIDE<T>) {
          const V one = *reinterpret_cast<const V*>(p), two = *reinterpret_cast<const V*>(p + L);
          for (int r = 0; r < ROWS; ++r) {
            sum[r][0] += a[i][offset[r]] * one;
            sum[r][1] += a[i][offset[r]] * two;
          }
        }
        for (int64_t r = 0; r < here; ++r) {
          T* out = to + (k + r) * columns + n;
          if (used == WIDE<T>) {
            *reinterpret_cast<V*>(out) += sum[r][0];
            *reinterpret_cast<V*>(out + L) += sum[r][1];
          } else {
            for (int64_t j = 0; j < used; ++j) out[j] += sum[r][j / L][j % L];
          }
        }
      }
    }
  }
}

// work(first, last, thread) over the windows, each thread a contiguous share of them
template <class Work>
void share(const Sizes& s, Work work) {
  const int64_t threads = std::max<int64_t>(1, std::min(s.threads, s.windows));
  std::vector<std::thread> others;
  others.reserve(threads);
  for (int64_t k = 1; k < threads; ++k) {
    const int64_t first = s.windows * k / threads, last = s.windows * (k + 1) / threads;
    try {
      others.emplace_back(work, first, last, k);
    } catch (const std::system_error&) {  // no thread to be had
      work(first, last, k);
    }
  }
  work(0, s.windows / threads, 0);
  for (auto& other : others) other.join();
}

// Windows worked on side by side: few enough for the second-level cache
int64_t side_by_side(const Sizes& s) { return std::max<int64_t>(1, CACHED * 8 / (s.width * s.width)); }

// tokens x features to features x tokens and back
template <class T>
void turn(const T* from, T* to, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) to[j * rows + i] = from[i * columns + j];
}

// Zeros at both ends of series 0 to 5
template <class T>
void clear_ends(const Sizes& s, T* series) {
  for (int i = 0; i < SERIES - 1; ++i) {
    const int64_t end = s.half() * s.channels(i);
    std::fill(series, series + end, T(0));
    series += s.padded(i);
    std::fill(series - end, series, T(0));
  }
}

template <class T>
void forward(const Sizes& s, const T* z, const T* const* weights, const T* const* biases, T* logits, T* kept) {
  Packed<T> packed[LAYERS];
  for (int i = 0; i < LAYERS; ++i) {
    packed[i] = {s.longer(i), s.shorter(i), s.half(), {}, {}, {}, {}};
    i < 3 ? packed[i].for_halving(weights[i], s.kernel) : packed[i].for_doubling(weights[i], s.kernel);
  }
  share(s, [&](int64_t first, int64_t last, int64_t) {
    const int64_t group = side_by_side(s), whole = s.kept();
    std::vector<T> ahead(s.length(6) * s.tokens * group), own(kept ? 0 : whole * group);
    for (int64_t begin = first; begin < last; begin += group) {
      const int64_t windows = std::min(group, last - begin);
      T* series = kept ? kept + begin * whole : own.data();
      for (int64_t w = 0; w < windows; ++w) clear_ends(s, series + w * whole);
      for (int64_t w = 0; w < windows; ++w)
        turn(z + (begin + w) * s.tokens * s.width, series + w * whole + s.half() * s.tokens, s.tokens, s.width);
      for (int i = 0; i < LAYERS; ++i) {
        const Windows<const T> from{series + s.half() * s.channels(i), whole};
        series += s.padded(i);
        Windows<T> to{series + s.half() * s.channels(i + 1), whole};
        if (i == 5) to = {ahead.data(), s.length(6) * s.tokens};
        if (i < 3)
          packed[i].halve(windows, s.length(i), from, biases[i], to, s.kernel);
        else
          packed[i].double_(windows, s.length(i), from, biases[i], to);
        if (i == 5) break;
        const int64_t values = s.length(i + 1) * s.channels(i + 1);
        for (int64_t w = 0; w < windows; ++w) {
          T* x = to.data + w * whole;
          for (int64_t j = 0; j < values; ++j) x[j] = x[j] > T(0) ? x[j] : (x[j] == x[j] ? T(0) : x[j]);
        }
      }
      for (int64_t w = 0; w < windows; ++w)
        turn(&ahead[w * s.width * s.tokens], logits + (begin + w) * s.tokens * s.width, s.width, s.tokens);
    }
  });
}

// `to`: for every thread the gradients of all weights, then of all biases
template <class T>
void backward(const Sizes& s, const T* d_logits, const T* const* weights, const T* kept, T* d_z, T* to, int64_t size) {
  Packed<T> packed[LAYERS];
  for (int i = 0; i < LAYERS; ++i) {
    packed[i] = {s.longer(i), s.shorter(i), s.half(), {}, {}, {}, {}};
    i < 3 ? packed[i].for_doubling(weights[i], s.kernel) : packed[i].for_halving(weights[i], s.kernel);
  }
  share(s, [&](int64_t first, int64_t last, int64_t thread) {
    const int64_t group = side_by_side(s), whole = s.kept();
    std::vector<T> gradients[SERIES], scratch;
    for (int i = 0; i < SERIES; ++i) gradients[i].assign(s.padded(i) * group, T(0));
    T *d_weight[LAYERS], *d_bias[LAYERS], *next = to + thread * size;
    for (int i = 0; i < LAYERS; ++i) d_weight[i] = next, next += s.weights(i);
    for (int i = 0; i < LAYERS; ++i) d_bias[i] = next, next += s.channels(i + 1);
    for (int64_t begin = first; begin < last; begin += group) {
      const int64_t windows = std::min(group, last - begin);
      const T* series = kept + (begin + 1) * whole;  // its end: the layers are passed from the last
      const auto inside = [&](int i) {
        return Windows<T>{gradients[i].data() + s.half() * s.channels(i), s.padded(i)};
      };
      for (int64_t w = 0; w < windows; ++w)
        turn(d_logits + (begin + w) * s.tokens * s.width, inside(6).data + w * s.padded(6), s.tokens, s.width);
      for (int i = LAYERS - 1; i >= 0; --i) {
        series -= s.padded(i);
        const Windows<const T> x{series + s.half() * s.channels(i), whole};
        const Windows<T> ahead = inside(i + 1), behind = inside(i);
        const Windows<const T> d_y{ahead.data, ahead.window};
        const Windows<const T>& wide = i < 3 ? x : d_y;
        const int64_t longer = s.longer(i), count = s.length(i < 3 ? i + 1 : i);
        const Left<T> rows{{wide.data - s.half() * longer, wide.window}, windows, count, 2 * longer, s.kernel * longer};
        outer<T>(rows, i < 3 ? d_y : x, s.shorter(i), d_weight[i], scratch);
        const int64_t channels = s.channels(i + 1), values = s.length(i) * s.channels(i);
        for (int64_t w = 0; w < windows; ++w) {
          const T* row = d_y.data + w * d_y.window;
          for (int64_t j = 0; j < s.length(i + 1); ++j, row += channels)
            for (int64_t c = 0; c < channels; ++c) d_bias[i][c] += row[c];
        }
        if (i < 3)
          packed[i].double_(windows, s.length(i + 1), d_y, nullptr, behind);
        else
          packed[i].halve(windows, s.length(i + 1), d_y, nullptr, behind, s.kernel);
        for (int64_t w = 0; i > 0 && w < windows; ++w) {
          T* d = behind.data + w * behind.window;
          const T* seen = x.data + w * whole;
          for (int64_t j = 0; j < values; ++j) d[j] = seen[j] > T(0) ? d[j] : T(0);
        }
      }
      for (int64_t w = 0; w < windows; ++w)
        turn(inside(0).data + w * s.padded(0), d_z + (begin + w) * s.tokens * s.width, s.width, s.tokens);
    }
  });
}

}  // namespace

#define SCORE(T, NAME)                                                                                              \
  extern "C" void score_forward_##NAME(const Sizes* s, const T* z, const T* const* weights, const T* const* biases, \
                                       T* logits, T* kept) {                                                        \
    forward<T>(*s, z, weights, biases, logits, kept);                                                               \
  }                                                                                                                 \
  extern "C" void score_backward_##NAME(const Sizes* s, const T* d_logits, const T* const* weights, const T* kept,  \
                                        T* d_z, T* to, int64_t size) {                                              \
    backward<T>(*s, d_logits, weights, kept, d_z, to, size);                                                        \
  }

extern "C" int64_t score_kept(const Sizes* s) { return s->kept(); }
SCORE(float, float32)
SCORE(double, float64)
