// The expected likelihood of all pairs on a CPU: −½ Σ [(μx − μy)² / s + log s] with s = σx² + σy².
//
// A register holds one dimension of W gallery items, so that nothing is ever summed across it. Eight
// dimensions are one step: their fractions are added pairwise before they are divided, Σ aᵢ/sᵢ = A / Π sᵢ,
// and the product is also what the logarithm needs, Σ log sᵢ = log Π sᵢ. Its binary exponent is split off as an
// integer, the mantissa goes on into the next step's product: one logarithm a pair. In a step every query of
// a block meets the items of a tile: its sixteen numbers stay in registers, the tile's in the first cache, and
// what the block has summed so far in the second.
//
// Every lane runs the same instructions, also those beyond the last item: a pair has the same score, bit for
// bit, wherever it stands. No product leaves float32 while log variances lie in ±8 and means in ±1e4.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__AVX512F__)
constexpr int W = 16;
#elif defined(__AVX__)
constexpr int W = 8;
#else
constexpr int W = 4;
#endif

typedef float Floats __attribute__((vector_size(4 * W)));
typedef int32_t Ints __attribute__((vector_size(4 * W)));

constexpr int64_t STEP = 8;      // dimensions
constexpr int64_t ITEMS = 256;   // of a tile
constexpr int64_t QUERIES = 64;  // of a block
constexpr int64_t SETTLE = 8;    // steps that are summed apart
constexpr int64_t REGISTERS = ITEMS / W;

struct Fraction {
    Floats a, s;
};

static inline Fraction operator+(Fraction p, Fraction q) {
    return {p.a * q.s + q.a * p.s, p.s * q.s};
}

struct Sums {  // of one query with the items of a tile
    Floats fractions[REGISTERS], total[REGISTERS], mantissa[REGISTERS];
    Ints exponent[REGISTERS];
};

struct Step {  // eight dimensions of a tile
    Floats mean[STEP][REGISTERS], var[STEP][REGISTERS];
};

// One step of one query: eight means and eight variances.
static inline void add_step(const float* x, const Step& y, Sums& sums) {
    Floats mean[STEP], var[STEP];
    for (int u = 0; u < STEP; ++u) {
        mean[u] = x[u] - Floats{};
        var[u] = x[STEP + u] - Floats{};
    }
    for (int r = 0; r < REGISTERS; ++r) {
        auto term = [&](int u) {
            Floats gap = mean[u] - y.mean[u][r];
            return Fraction{gap * gap, var[u] + y.var[u][r]};
        };
        Fraction sum =
            ((term(0) + term(1)) + (term(2) + term(3))) + ((term(4) + term(5)) + (term(6) + term(7)));
        Ints bits = (Ints)(sum.s * sums.mantissa[r]);
        sums.fractions[r] += sum.a / sum.s;
        sums.exponent[r] += bits >> 23;  // 127 more than it is: taken off at the end
        sums.mantissa[r] = (Floats)((bits & 0x7FFFFF) | 0x3F800000);
    }
}

// The sum of the last steps goes to that of all: small numbers are added to a large one less often.
static inline void settle(Sums& sums) {
    for (int r = 0; r < REGISTERS; ++r) {
        sums.total[r] += sums.fractions[r];
        sums.fractions[r] = Floats{};
    }
}

// log m of 1 ≤ m < 2: 2 artanh z = 2 (z + z³/3 + z⁵/5 + …) with z = (m − 1) / (m + 1) < ⅓, to 2e-9.
static inline Floats log_mantissa(Floats m) {
    Floats z = (m - 1) / (m + 1), square = z * z, sum = 1 / 15.0f + Floats{};
    for (float odd : {13.0f, 11.0f, 9.0f, 7.0f, 5.0f, 3.0f, 1.0f}) sum = sum * square + 1 / odd;
    return 2 * z * sum;
}

static void write_scores(const Sums& sums, int64_t steps, float* out, int64_t items) {
    Floats scores[REGISTERS];
    for (int r = 0; r < REGISTERS; ++r) {
        Floats exponent = __builtin_convertvector(sums.exponent[r] - 127 * (int32_t)steps, Floats);
        Floats log = exponent * 0.69314718f + log_mantissa(sums.mantissa[r]);
        scores[r] = -0.5f * (sums.total[r] + log);
    }
    std::memcpy(out, scores, items * sizeof(float));
}

// A tile of items, dimension by dimension. Dimensions that fill the last step have s = ½ + ½; items beyond the
// last repeat it.
static void fill_tile(const float* mean, const float* var, int64_t items, int64_t dim, Step* steps) {
    for (int64_t d = 0; d < dim; d += STEP) {
        Step& step = steps[d / STEP];
        for (int64_t j = 0; j < ITEMS; ++j) {
            const int64_t at = std::min(j, items - 1) * dim + d;
            for (int64_t u = 0; u < STEP; ++u) {
                step.mean[u][j / W][j % W] = d + u < dim ? mean[at + u] : 0.0f;
                step.var[u][j / W][j % W] = d + u < dim ? var[at + u] : 0.5f;
            }
        }
    }
}

// The part of the scores that is the units first … end, each a block of queries with a tile of items.
static void work(const float* x, const float* y_mean, const float* y_var, float* out, int64_t n, int64_t m,
                 int64_t dim, int64_t first, int64_t end) {
    const int64_t steps = (dim + STEP - 1) / STEP, blocks = (n + QUERIES - 1) / QUERIES;
    std::vector<Step> tile(steps);
    std::vector<Sums> sums(std::min(n, QUERIES));
    for (int64_t unit = first, filled = -1; unit < end; ++unit) {
        const int64_t i = unit % blocks * QUERIES, queries = std::min(QUERIES, n - i);
        const int64_t j = unit / blocks * ITEMS, items = std::min(ITEMS, m - j);
        if (j != filled) fill_tile(y_mean + j * dim, y_var + j * dim, items, dim, tile.data());
        filled = j;
        for (Sums& sum : sums) {
            sum = {};
            std::fill_n(sum.mantissa, REGISTERS, Floats{} + 1);
        }
        for (int64_t step = 0; step < steps; ++step)
            for (int64_t q = 0; q < queries; ++q) {
                add_step(x + ((i + q) * steps + step) * 2 * STEP, tile[step], sums[q]);
                if (step % SETTLE == SETTLE - 1 || step + 1 == steps) settle(sums[q]);
            }
        for (int64_t q = 0; q < queries; ++q) write_scores(sums[q], steps, out + (i + q) * m + j, items);
    }
}

// x [n, steps, 16]: of each step eight means, then eight variances; y_mean, y_var [m, dim]; out [n, m].
extern "C" void scores(const float* x, const float* y_mean, const float* y_var, float* out, int64_t n,
                       int64_t m, int64_t dim, int64_t threads) {
    const int64_t units = ((n + QUERIES - 1) / QUERIES) * ((m + ITEMS - 1) / ITEMS);
    threads = std::max<int64_t>(1, std::min(threads, units));
    auto share = [=](int64_t t) {
        work(x, y_mean, y_var, out, n, m, dim, units * t / threads, units * (t + 1) / threads);
    };
    std::vector<std::thread> others;
    for (int64_t t = 1; t < threads; ++t) {
        try {
            others.emplace_back(share, t);
        } catch (const std::system_error&) {  // no more threads to be had
            share(t);
        }
    }
    share(0);
    for (auto& other : others) other.join();
}
