"""What run_mutants.py changes: (file, before, after[, which occurrence, from 1]).

Several for each layer, loss and optimiser of src/nn: a flipped sign, a dropped bias, a transposed
matrix, an ignored seed, a forgotten momentum.
"""

ACTIVATIONS = "src/nn/activations.cpp"
BATCH_NORM = "src/nn/batch_norm.cpp"
CONV1D = "src/nn/conv1d.cpp"
CONV_TRANSPOSE1D = "src/nn/conv_transpose1d.cpp"
CONV_PRODUCTS = "src/nn/conv_products.cpp"
CRITIC = "src/nn/critic.cpp"
DENSE = "src/nn/dense.cpp"
DISTANCE = "src/nn/loss_distance.cpp"
DROPOUT = "src/nn/dropout.cpp"
ELEMENTWISE = "src/nn/elementwise.h"
EARLY_STOPPING = "src/nn/early_stopping.h"
GRADIENT_PENALTY = "src/nn/gradient_penalty.cpp"
INITIALISER = "src/nn/initialiser.cpp"
KERNELS = "src/nn/kernels_body.h"
LATENT = "src/nn/loss_latent.cpp"
LAYER = "src/nn/layer.cpp"
LOGITS = "src/nn/loss_logits.cpp"
LOSS = "src/nn/loss.cpp"
MERGE = "src/nn/merge.cpp"
MOVING_AVERAGE = "src/nn/moving_average.cpp"
NETWORK = "src/nn/network.cpp"
NORMS = "src/nn/norms.cpp"
OPTIMISER = "src/nn/optimiser.cpp"
PASS = "src/nn/pass.cpp"
PLAN = "src/nn/plan.cpp"
PLAN_STEPS = "src/nn/plan_steps.cpp"
POOLING = "src/nn/pooling.cpp"
RANDOM = "src/nn/random.cpp"
RANDOM_H = "src/nn/random.h"
RECURRENT = "src/nn/recurrent.cpp"
REPARAMETERISE = "src/nn/reparameterise.cpp"
RESHAPE = "src/nn/reshape.cpp"
REVERSAL = "src/nn/gradient_reversal.cpp"
SCHEDULE = "src/nn/schedule.cpp"
SPECTRAL = "src/nn/spectral_norm.cpp"
TRAINER = "src/nn/trainer.cpp"

MUTANTS = [
    # Convolution and its transpose.
    (CONV1D, "call.weights + weight_count_,", "zeros_of(size_.out, *call.scratch),"),
    (CONV1D, "backward_(size, swap(conv1d_taps(size)))", "backward_(size, conv1d_taps(size))"),
    (CONV1D, "pad(x[0], size_.in, size_.padding, size_.padding, *call.scratch)",
     "pad(x[0], size_.in, 2 * size_.padding, 0, *call.scratch)"),
    (CONV1D, "      add_bias_gradient(dy.data, dy.rows * steps, size_.out, gradient + weight_count_);",
     ""),
    (SPECTRAL, "if (mode == Mode::kTraining) iterate(weights, buffers);", ""),
    (CONV1D, "    if (spectral_) spectral_->finish_gradient(weights, buffers, gradient);", ""),
    (CONV1D, "size.dilation * (size.kernel - 1) - 1;", "size.dilation * size.kernel - 1;"),
    (CONV_TRANSPOSE1D, "call.weights + weight_count_,", "zeros_of(size_.out, *call.scratch),"),
    (CONV_TRANSPOSE1D, "copy[static_cast<std::size_t>(j * size_.in + i)]",
     "copy[static_cast<std::size_t>(i * size_.kernel * out + j)]"),
    (CONV_TRANSPOSE1D, "pad(dy, size_.out, size_.padding, size_.padding, scratch)",
     "pad(dy, size_.out, 0, 2 * size_.padding, scratch)"),
    (CONV_TRANSPOSE1D,
     "      add_bias_gradient(dy.data, dy.rows * steps, size_.out, gradient + weight_count_);", ""),
    (CONV_TRANSPOSE1D, "    if (spectral_) spectral_->finish_gradient(weights, buffers, gradient);",
     ""),
    (CONV_TRANSPOSE1D, "+ 1 - 2 * size.padding", "+ 1 - size.padding"),
    (CONV_PRODUCTS, "std::swap(swapped.row, swapped.column);", ""),
    (CONV_PRODUCTS, "product.a_segment = size_.dilation * from;", "product.a_segment = from;"),
    (CONV_PRODUCTS, "product.a_row = size_.stride * from;", "product.a_row = from;"),
    (CONV_PRODUCTS, "product.bias = bias + group * taps_.to;", "product.bias = bias;", 1),
    (CONV_PRODUCTS, "product.bias = bias + group * taps_.to;", "product.bias = bias;", 2),
    (CONV_PRODUCTS, "tap = weights + j * taps.tap + group * taps.group;",
     "tap = weights + j * taps.tap;"),
    (CONV_PRODUCTS, "for (Index j = size.kernel - 1; j >= 0; --j)",
     "for (Index j = 0; j < size.kernel; ++j)"),
    (CONV_PRODUCTS, "product.a_depth = size.stride * padded_channels;",
     "product.a_depth = padded_channels;"),
    (CONV_PRODUCTS, "product.segments = rows;", "product.segments = 1;"),

    # Dense and spectral norm.
    (DENSE, "product.bias = call.weights + in_ * out_;",
     "product.bias = zeros_of(out_, *call.scratch);"),
    (DENSE, "pack<Scalar>(in_, out_, weights, out_, 1,", "pack<Scalar>(in_, out_, weights, 1, in_,"),
    (DENSE, "pack<Scalar>(out_, in_, weights, 1, out_,", "pack<Scalar>(out_, in_, weights, in_, 1,"),
    (DENSE, "      add_bias_gradient(dy.data, dy.rows, out_, gradient + in_ * out_);", ""),
    (SPECTRAL, "  normalise(v);\n", ""),
    (SPECTRAL, "static_cast<Scalar>(1 / sigma(weights, buffers))",
     "static_cast<Scalar>(sigma(weights, buffers))"),
    (SPECTRAL, "- along * v *", "+ along * v *"),
    (SPECTRAL, "  along /= norm;\n", ""),

    # Activations.
    (ACTIVATIONS, "return x > 0 ? x : below * x;", "return x > 0 ? x : x;"),
    (ACTIVATIONS, "return x > 0 ? Scalar(1) : below;", "return x >= 0 ? Scalar(1) : below;"),
    (ACTIVATIONS, "return x > 0 ? Scalar(1) : below;", "return Scalar(1);"),
    (ACTIVATIONS, "LeakyRelu<Scalar>{0}", "LeakyRelu<Scalar>{Scalar(0.01)}"),
    (ACTIVATIONS, "return below + x * (kPeak * bell);", "return below;"),
    (ACTIVATIONS, "return below + x * (kPeak * bell);", "return below - x * (kPeak * bell);"),
    (ACTIVATIONS, "return Scalar(1) - y * y;", "return Scalar(1) + y * y;"),
    (ACTIVATIONS, "return y * (Scalar(1) - y);", "return y;"),
    (ACTIVATIONS, "exp_of(from[c] - most)", "exp_of(from[c])"),
    (ACTIVATIONS, "to[c] *= inverse;", "to[c] = to[c];"),
    (ACTIVATIONS, "out[c] * (from[c] - mean)", "out[c] * from[c]"),
    (ACTIVATIONS, "from[i] * f.slope(in[i], out[i])", "f.slope(in[i], out[i])"),
    (ELEMENTWISE, "p * (r * r) + r + 1.0F", "p * (r * r) - r + 1.0F"),
    (ELEMENTWISE, "4.1665795894e-2F", "4.1765795894e-2F"),
    (ELEMENTWISE, "x > kHigh ? std::numeric_limits<float>::infinity() : bounded", "bounded"),
    (ELEMENTWISE, "Scalar(1) + exp_of(-x)", "Scalar(1) + exp_of(x)"),
    (ELEMENTWISE, "x < 0 ? -large : large", "large"),
    (ELEMENTWISE, "x < 0 ? beyond : 1.0F - beyond", "x < 0 ? 1.0F - beyond : beyond"),
    (ELEMENTWISE, "1.33314422036e-1F", "1.33414422036e-1F"),

    # Batch norm.
    (BATCH_NORM, "* scale[c] + bias[c];", "* scale[c];"),
    (BATCH_NORM, "(from[c] - moments.mean[c]) * scale[c] + bias[c]",
     "from[c] * scale[c] + bias[c]"),
    (BATCH_NORM, "variance_of(sums, c) * count / (count - 1)", "variance_of(sums, c)"),
    (BATCH_NORM, "if (count > 1) move", "move"),
    (BATCH_NORM, "(1 - momentum_) * static_cast<double>(running)",
     "momentum_ * static_cast<double>(running)"),
    (BATCH_NORM, "from[c] - mean_dy[c] -", "from[c] -"),
    (BATCH_NORM, "- (in[c] - moments.mean[c]) * tilt[c]", "+ (in[c] - moments.mean[c]) * tilt[c]"),
    (BATCH_NORM, "std::sqrt(variance + epsilon_)", "std::sqrt(variance)"),
    (BATCH_NORM, "- mean * mean;", ";"),
    (BATCH_NORM, "if (gradient != nullptr && call.first_row == 0)", "if (gradient != nullptr)"),
    (BATCH_NORM, "if (call.mode == Mode::kTraining) {\n        mean[c]", "if (true) {\n        mean[c]"),
    (BATCH_NORM, "gradient[c] += static_cast<Scalar>(call.gradient_sums[channels_ + c]);",
     "gradient[c] += static_cast<Scalar>(call.gradient_sums[c]);"),
    (BATCH_NORM, "{\"variance\", {channels}, 1", "{\"variance\", {channels}, 0"),
    (BATCH_NORM, "sums[2 * channels_] += static_cast<double>(steps);",
     "sums[2 * channels_] = static_cast<double>(steps);"),

    # Layer and instance norm.
    (NORMS, "(from[c] - mean) * inverse * weights[c] + bias[c]",
     "(from[c] - mean) * inverse * weights[c]"),
    (NORMS, "(from[c] - mean) * inverse * weights[c] + bias[c]",
     "(from[c] - mean) * inverse + bias[c]"),
    (NORMS, "1 / std::sqrt(variance + epsilon_)", "1 / std::sqrt(variance)"),
    (NORMS, "from[c] * weights[c] - level - (in[c] - mean) * tilt",
     "from[c] * weights[c] - level + (in[c] - mean) * tilt"),
    (NORMS, "from[c] * weights[c] - level -", "from[c] * weights[c] -"),
    (NORMS, "to_bias[c] += from[c];", ""),
    (NORMS, "to_weights[c] += from[c] * ((in[c] - mean) * inverse);",
     "to_weights[c] += from[c] * (in[c] - mean);"),
    (NORMS, "(from[c] - centre[c]) * scale[c] + bias[c]", "(from[c] - centre[c]) * scale[c]"),
    (NORMS, "1 / std::sqrt(variance[c] + epsilon_)", "1 / std::sqrt(variance[c])"),
    (NORMS, "(value - mean[c]) * (value - mean[c])", "value * value"),
    (NORMS, "(from[c] - level[c] - (in[c] - mean[c]) * tilt[c])",
     "(from[c] - (in[c] - mean[c]) * tilt[c])"),
    (NORMS, "(from[c] - level[c] - (in[c] - mean[c]) * tilt[c])", "(from[c] - level[c])"),
    (NORMS, "gradient[first + c] += static_cast<Scalar>(along[c] * deviation);",
     "gradient[first + c] += static_cast<Scalar>(along[c]);"),
    (NORMS, "gradient[channels_ + first + c] += static_cast<Scalar>(sum[c]);",
     "gradient[channels_ + first + c] -= static_cast<Scalar>(sum[c]);"),

    # Dropout, and where randomness comes from.
    (DROPOUT, "in[i] * scale;", "in[i];"),
    (DROPOUT, "call.row_seed(row)", "call.row_seed(0)"),
    (DROPOUT, "call.row_seed(row)", "static_cast<std::uint64_t>(row)"),
    (DROPOUT, "if (call.mode == Mode::kScoring)", "if (false)"),
    (DROPOUT, ">= least ? kept : Scalar(0)", "< least ? kept : Scalar(0)"),
    (DROPOUT, "mask(call, dy, dx[0])", "std::copy_n(dy.data, dy.size(), dx[0].data)"),
    (LAYER, "derive_seed(seed, static_cast<std::uint64_t>(first_row + row))",
     "derive_seed(seed, static_cast<std::uint64_t>(row))"),
    (LAYER, "derive_seed(seed, static_cast<std::uint64_t>(first_row + row))",
     "derive_seed(0, static_cast<std::uint64_t>(first_row + row))"),
    (RANDOM_H, "mix(mix(index + static_cast<std::uint32_t>(seed)) ^",
     "mix(mix(index) ^"),
    (RANDOM_H, "0x846ca68bU", "0x846ca68aU"),
    (RANDOM_H, "normal_quantile(middle * 0x1.0p-53)", "middle * 0x1.0p-53"),
    (RANDOM, "q < 0 ? -x : x", "x"),
    (RANDOM, "ratio(kE, kF, r - 5)", "ratio(kC, kD, r - 1.6)"),
    (RANDOM, "m *= 0.5;", ""),

    # Pools.
    (POOLING, "next > most || next != next", "next > most"),
    (POOLING, "next > most || next != next", "next < most || next != next"),
    (POOLING, "for (Index j = size_.kernel - 1; j > 0; --j)",
     "for (Index j = 1; j < size_.kernel; ++j)"),
    (POOLING, "to[c] += which[c] == mine ? from[c] : Scalar(0);",
     "to[c] = which[c] == mine ? from[c] : Scalar(0);"),
    (POOLING, "t * size_.stride * size_.channels, t * size_.channels",
     "t * size_.channels, t * size_.channels"),
    (POOLING, "to[c] *= share_;", "to[c] *= Scalar(1);"),
    (POOLING, "to[c] += from[c] * share_;", "to[c] += from[c];"),
    (POOLING, "fill_zero(dx[0]);", "", 1),
    (POOLING, "fill_zero(dx[0]);", "", 2),
    (POOLING, "for (Index c = 0; c < channels_; ++c) to[c] += next[c];", ""),
    (POOLING, "(samples - size.kernel) / size.stride + 1", "(samples - 1) / size.stride + 1"),

    # Recurrent.
    (RECURRENT, "product.bias = call.weights + Places(sizes).bias;",
     "product.bias = take_zeros(call, sizes.gate_values());"),
    (RECURRENT, "pack_into(1, sizes.out, gates, recurrent, gates, 1);",
     "pack_into(1, sizes.out, gates, recurrent, 1, sizes.out);"),
    (RECURRENT, "pack_into(2, gates, sizes.in, weights, 1, gates);",
     "pack_into(2, gates, sizes.in, weights, sizes.in, 1);"),
    (RECURRENT, "pack_into(3, gates, sizes.out, recurrent, 1, gates);",
     "pack_into(3, gates, sizes.out, recurrent, sizes.out, 1);"),
    (RECURRENT, "product.a = y.data + (step - 1) * sizes.out;",
     "product.a = y.data;"),
    (RECURRENT, "(Scalar(1) - z) * n + z * before[j]", "z * n + (Scalar(1) - z) * before[j]"),
    (RECURRENT, "kept[2 * out + j] + r * through", "kept[2 * out + j] + through"),
    (RECURRENT, "std::copy_n(recurrent_bias, values, state + row * values);",
     "std::fill_n(state + row * values, values, Scalar(0));"),
    (RECURRENT, "project_state(call, sizes_, y, step, recurrent_bias, state, values)",
     "project_state(call, sizes_, y, step, take_zeros(call, values), state, values)"),
    (RECURRENT, "recurrent[2 * out + j] = dn * r;", "recurrent[2 * out + j] = dn;"),
    (RECURRENT, "dh * (before[j] - n)", "dh * (n - before[j])"),
    (RECURRENT, "carry[j] = dh * z;", "carry[j] = 0;"),
    (RECURRENT, "if (step > 0) pass_back(call, sizes_, rows.rows, gates.recurrent, carry);", "", 1),
    (RECURRENT, "if (step > 0) pass_back(call, sizes_, rows.rows, gates.recurrent, carry);", "", 2),
    (RECURRENT, "gradient + Places(sizes_).recurrent_bias);",
     "gradient + Places(sizes_).bias);"),
    (RECURRENT, "f * cell_before[j] + i * g", "i * cell_before[j] + f * g"),
    (RECURRENT, "h[j] = o * shown;", "h[j] = o * c;"),
    (RECURRENT, "cell_carry[j] = dc * f;", "cell_carry[j] = 0;"),
    (RECURRENT, "dc * cell_before[j] * (f * (Scalar(1) - f))", "dc * (f * (Scalar(1) - f))"),
    (RECURRENT, "cell_carry[j] + dh * o * (Scalar(1) - shown * shown)", "cell_carry[j] + dh * o"),
    (RECURRENT, "add_product(call, product, gates.later);", ""),
    (RECURRENT, "add_product(call, product, gates.input);", ""),
    (RECURRENT, "add_columns(gates.input, x.rows * steps, columns, gradient + Places(sizes).bias);",
     ""),

    # Merges, reshape, reversal, reparameterisation.
    (MERGE, "for (Index k = 0; k < y.size(); ++k) to[k] += from[k];",
     "for (Index k = 0; k < y.size(); ++k) to[k] -= from[k];"),
    (MERGE, "std::copy_n(dy.data, dy.size(), each.data);",
     "std::fill_n(each.data, dy.size(), Scalar(0));"),
    (MERGE, "if (dx[i].data != nullptr) std::copy_n(from, channels, dx[i].data + step * channels);",
     "if (dx[i].data != nullptr) std::copy_n(dy.data, channels, dx[i].data + step * channels);"),
    (MERGE, "for (const Rows<const Scalar>& each : x) {",
     "for (std::size_t k = x.size(); k-- > 0;) { const auto& each = x[k];"),
    (RESHAPE, "return Shape{size / channels_, channels_};",
     "return Shape{channels_, size / channels_};"),
    (REVERSAL, "const Scalar scale = -call.buffers[0];", "const Scalar scale = call.buffers[0];"),
    (REVERSAL, "const Scalar scale = -call.buffers[0];", "const Scalar scale = -1;"),
    (REPARAMETERISE, "exp_of(log_variance / Scalar(2))", "exp_of(log_variance)"),
    (REPARAMETERISE, "mean[c] + deviation(log_variance[c]) * noise(seed, at + c)", "mean[c]"),
    (REPARAMETERISE, "noise(seed, at + c) / Scalar(2)", "noise(seed, at + c)"),
    (REPARAMETERISE, "if (!is_training)", "if (false)"),
    (REPARAMETERISE, "const std::uint64_t seed = call.row_seed(row);",
     "const std::uint64_t seed = call.seed;", 1),
    (REPARAMETERISE, "const std::uint64_t seed = call.row_seed(row);",
     "const std::uint64_t seed = call.seed;", 2),

    # Initialisers, networks, passes.
    (INITIALISER, "std::mt19937_64 bits(seed);", "std::mt19937_64 bits(1);"),
    (INITIALISER, "std::sqrt(6 / both)", "std::sqrt(2 / both)"),
    (INITIALISER, "std::sqrt(2 / initialiser.fan_in)", "std::sqrt(1 / initialiser.fan_in)"),
    (NETWORK, "derive_seed(layer_seed, index++)", "layer_seed"),
    (NETWORK, "node.layer->begin(network.weights_.data() + node.weights_at, buffers);", ""),
    (PASS, "call.seed = derive_seed(seed_, node);", "call.seed = seed_;"),
    (PASS, "call.seed = derive_seed(seed_, node);", "call.seed = node;"),
    (PASS, "for (std::size_t i = 0; i < count; ++i) to[i] += from[i];", ""),
    (PASS, "if (gives_[node * kMaxInputs + i] != Give::kAdd) continue;", "continue;"),
    (PASS, "value_gradients_[value] += *dy[head];", "value_gradients_[value] = *dy[head];"),

    # Kernels and plans.
    (KERNELS, "return value > Vector<kCount>{} ? value : scaled;", "return value;"),
    (KERNELS, "partial[0] + (p.bias != nullptr ? *p.bias : *c)", "partial[0]"),
    (PLAN_STEPS, "moved[count_of(out_channel(i))] += norm.shift[channel] * weight;", ""),
    (PLAN_STEPS, "static_cast<double>(bias) * norm.scale[channel] + norm.shift[channel]",
     "static_cast<double>(bias) + norm.shift[channel]"),
    (PLAN, "layer.type == \"batch_norm\" && !is_rectified", "layer.type == \"batch_norm\""),

    # Losses.
    (LOSS, "return e * e; }", "return e; }"),
    (LOSS, "return 2 * e; }", "return e; }"),
    (LOSS, "slope(error) / size", "slope(error)"),
    (LOSS, "delta * (size - 0.5 * delta)", "delta * size"),
    (LOSS, "e : delta * sign(e)", "e : sign(e)"),
    (LOSS, "e > 0 ? 1 : (e < 0 ? -1 : e)", "e > 0 ? 1 : (e < 0 ? 1 : e)"),
    (LOGITS, "(logit < 0 ? 0 : logit) - logit * t + std::log1p(small)",
     "(logit < 0 ? 0 : logit) - logit * t"),
    (LOGITS, "(logit < 0 ? 0 : logit) - logit * t + std::log1p(small)",
     "(logit < 0 ? 0 : logit) + logit * t + std::log1p(small)"),
    (LOGITS, "(probability - t) / size", "(t - probability) / size"),
    (LOGITS, "loss -= target * log_probability;", "loss += target * log_probability;"),
    (LOGITS, "std::exp(log_probability) * targets - target", "std::exp(log_probability) - target"),
    (LOGITS, "static_cast<double>(z(row, k)) - largest);", "static_cast<double>(z(row, k)));"),
    (LOGITS, "1 - smoothing + everywhere", "1 - smoothing"),
    (CRITIC, "const double margin = 1 + sign *", "const double margin = 1 - sign *"),
    (CRITIC, "flat ? 0 : sign / size", "sign / size"),
    (CRITIC, "hinge_mean(real, -1, dreal)", "hinge_mean(real, 1, dreal)"),
    (CRITIC, "signed_mean(real, -1, dreal) + signed_mean(fake, 1, dfake)",
     "signed_mean(real, 1, dreal) + signed_mean(fake, -1, dfake)"),
    (CRITIC, "binary_cross_entropy(real, loss.smoothing(1), dreal)",
     "binary_cross_entropy(real, 1.0, dreal)"),
    (CRITIC, "binary_cross_entropy(fake, 1.0, dfake)",
     "binary_cross_entropy(fake, loss.smoothing(1), dfake)"),
    (CRITIC, "return signed_mean(fake, -1, dfake);", "return signed_mean(fake, 1, dfake);"),
    (LATENT, "0.5 * (mean * mean + excess - log_variance)", "0.5 * (mean * mean + excess)"),
    (LATENT, "static_cast<Scalar>(mean / rows)", "static_cast<Scalar>(mean)"),
    (LATENT, "0.5 * excess / rows", "excess / rows"),
    (DISTANCE, "/ (2 * width * width)", "/ (width * width)"),
    (DISTANCE, "dx[j] -= move;", "dx[j] += move;"),
    (DISTANCE, "double sum = 1 / rows;", "double sum = 0;"),
    (DISTANCE, "const double weight = -2 /", "const double weight = -1 /"),
    (DISTANCE, "x.rowwise() -= RowVector<double>(x.colwise().mean());", ""),
    (DISTANCE, "(-features * features * y_free)", "(features * features * y_free)"),
    (DISTANCE, "gap * (-2 / (features", "gap * (2 / (features"),
    (DISTANCE, "gap.squaredNorm() / features", "gap.squaredNorm()"),
    (GRADIENT_PENALTY, "0.5 * squared : (s - 1) * (s - 1)", "0.5 * squared : s * s"),
    (GRADIENT_PENALTY, "is_zero_centred ? s : 2 * (s - 1)", "is_zero_centred ? s : 2 * s"),
    (GRADIENT_PENALTY, "  add_side(critic, x, -1, seed, gradient);\n", ""),
    (GRADIENT_PENALTY, "std::mt19937_64 bits(derive_seed(seed, static_cast<std::uint64_t>(i)));",
     "std::mt19937_64 bits(static_cast<std::uint64_t>(i));"),

    # Optimisers and what surrounds them.
    (OPTIMISER, "m[i] = f.keep1 * m[i] + (g[i] + f.decay * w[i]);",
     "m[i] = g[i] + f.decay * w[i];"),
    (OPTIMISER, "w[i] -= f.rate * (slope + f.keep1 * m[i]);", "w[i] -= f.rate * m[i];"),
    (OPTIMISER, "w[i] -= f.rate * (g[i] + f.decay * w[i]);", "w[i] += f.rate * (g[i] + f.decay * w[i]);"),
    (OPTIMISER, "options_.rate / (1 - std::pow(options_.beta1, t))", "options_.rate"),
    (OPTIMISER, "1 / std::sqrt(1 - std::pow(options_.beta2, t))", "1"),
    (OPTIMISER, "f.take2 * slope * slope", "f.take2 * slope"),
    (OPTIMISER, "f.shrink * w[i] - f.rate", "w[i] - f.rate"),
    (OPTIMISER, "factors.epsilon = static_cast<Scalar>(options_.epsilon);", ""),
    (OPTIMISER, "factors.decay = static_cast<Scalar>(options_.weight_decay);", ""),
    (OPTIMISER, "steps_[0] += 1;", "steps_[0] = 1;"),
    (OPTIMISER, "static_cast<Scalar>(limit / norm)", "static_cast<Scalar>(norm / limit)"),
    (OPTIMISER, "sums[i - whole] += value * value;", ""),
    (MOVING_AVERAGE, "a[i] += take_ * (w[i] - a[i]);", "a[i] = w[i];"),
    (MOVING_AVERAGE, "a[i] += take_ * (w[i] - a[i]);", "a[i] += take_ * w[i];"),
    (SCHEDULE, "static_cast<double>(step + 1) /", "static_cast<double>(step) /"),
    (SCHEDULE, "(1 + std::cos(std::numbers::pi * part))", "(1 - std::cos(std::numbers::pi * part))"),
    (SCHEDULE, "return floor + (1 - floor)", "return (1 - floor)"),
    (EARLY_STOPPING, "since_best = 0;\n      return true;", "return true;"),
    (EARLY_STOPPING, "loss < best - min_improvement", "loss < best"),
    (TRAINER, "std::mt19937_64 bits(derive_seed(derive_seed(options_.seed, 0), epoch));",
     "std::mt19937_64 bits(derive_seed(options_.seed, 0));"),
    (TRAINER, "std::mt19937_64 bits(derive_seed(derive_seed(options_.seed, 0), epoch));",
     "std::mt19937_64 bits(epoch);"),
    (TRAINER, "derive_seed(derive_seed(options_.seed, 1), step_)", "derive_seed(options_.seed, 1)"),
    (TRAINER, "rate_scale_ *= options_.retry_rate;", ""),
    (TRAINER, "  put_state(good_);\n", ""),
]
