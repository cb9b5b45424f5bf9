// Segment an object without Python.
//
//   edge-sam convert mobile-sam --layout sam --output sam
//   c++ -std=c++17 -O2 segment.cpp -o segment -I ONNXRUNTIME/include -L ONNXRUNTIME/lib -lonnxruntime
//   ./segment sam/mobile-sam.encoder.onnx sam/mobile-sam.decoder.onnx photograph.ppm X0 Y0 X1 Y1 mask.pgm
//
// The photograph is a PPM file whose longer side is 1024. The box is in its pixels.
#include <onnxruntime_c_api.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

static const OrtApi* const api = OrtGetApiBase()->GetApi(ORT_API_VERSION);

static void check(OrtStatus* status) {
  if (status != nullptr) throw std::runtime_error(api->GetErrorMessage(status));
}

struct Photograph {
  std::int64_t width = 0, height = 0;
  std::vector<unsigned char> pixels;  // RGB
};

static Photograph read_ppm(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string magic;
  int largest = 0;
  Photograph photograph;
  file >> magic >> photograph.width >> photograph.height >> largest;
  if (!file || magic != "P6" || largest != 255) throw std::runtime_error(path + " is not a PPM file of 8 bits");
  file.get();
  photograph.pixels.resize(static_cast<std::size_t>(3 * photograph.width * photograph.height));
  const auto bytes = static_cast<std::streamsize>(photograph.pixels.size());
  if (!file.read(reinterpret_cast<char*>(photograph.pixels.data()), bytes)) throw std::runtime_error(path + " is cut off");
  return photograph;
}

static OrtSession* open(const OrtEnv* environment, const char* path) {
  OrtSessionOptions* options = nullptr;
  OrtSession* session = nullptr;
  check(api->CreateSessionOptions(&options));
  check(api->CreateSession(environment, path, options, &session));
  api->ReleaseSessionOptions(options);
  return session;
}

// A tensor that uses the memory of `values`, which must outlive it.
static OrtValue* tensor(std::vector<float>& values, const std::vector<std::int64_t>& shape) {
  OrtMemoryInfo* memory = nullptr;
  OrtValue* made = nullptr;
  check(api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
  check(api->CreateTensorWithDataAsOrtValue(memory, values.data(), values.size() * sizeof(float), shape.data(),
                                            shape.size(), ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &made));
  api->ReleaseMemoryInfo(memory);
  return made;
}

static std::vector<OrtValue*> run(OrtSession* session, const std::vector<const char*>& names,
                                  const std::vector<const OrtValue*>& inputs, const std::vector<const char*>& outputs) {
  std::vector<OrtValue*> values(outputs.size(), nullptr);
  check(api->Run(session, nullptr, names.data(), inputs.data(), inputs.size(), outputs.data(), outputs.size(),
                 values.data()));
  return values;
}

static const float* numbers(OrtValue* value) {
  void* data = nullptr;
  check(api->GetTensorMutableData(value, &data));
  return static_cast<const float*>(data);
}

static void segment(char** arguments) {
  const Photograph photograph = read_ppm(arguments[3]);
  const std::int64_t width = photograph.width, height = photograph.height;
  if (std::max(width, height) != 1024) throw std::runtime_error("the photograph's longer side must be 1024 pixels");
  OrtEnv* environment = nullptr;
  check(api->CreateEnv(ORT_LOGGING_LEVEL_WARNING, "segment", &environment));
  OrtSession* encoder = open(environment, arguments[1]);
  OrtSession* decoder = open(environment, arguments[2]);

  // Encode once for each photograph.
  std::vector<float> pixels(photograph.pixels.begin(), photograph.pixels.end());
  OrtValue* image = tensor(pixels, {height, width, 3});
  OrtValue* embedding = run(encoder, {"input_image"}, {image}, {"image_embeddings"})[0];

  // Ask as often as you like: 1 on the object, 0 off it, 2 and 3 for the corners of a box, -1 once without a box.
  std::vector<float> corners(4), labels{2, 3}, mask_input(256 * 256), has_mask{0};
  for (int i = 0; i < 4; ++i) corners[i] = std::strtof(arguments[4 + i], nullptr);
  std::vector<float> size{static_cast<float>(height), static_cast<float>(width)};
  const std::vector<OrtValue*> prompt{tensor(corners, {1, 2, 2}), tensor(labels, {1, 2}),
                                      tensor(mask_input, {1, 1, 256, 256}), tensor(has_mask, {1}), tensor(size, {2})};
  std::vector<const OrtValue*> inputs{embedding};
  inputs.insert(inputs.end(), prompt.begin(), prompt.end());
  const std::vector<OrtValue*> answer = run(
      decoder, {"image_embeddings", "point_coords", "point_labels", "mask_input", "has_mask_input", "orig_im_size"},
      inputs, {"masks", "iou_predictions"});

  const float* logits = numbers(answer[0]);
  std::ofstream mask(arguments[8], std::ios::binary);
  mask << "P5\n" << width << " " << height << "\n255\n";
  for (std::int64_t i = 0; i < width * height; ++i) mask.put(logits[i] > 0 ? '\xff' : '\0');
  if (!mask.flush()) throw std::runtime_error(std::string("cannot write ") + arguments[8]);
  std::cout << "predicted IoU " << *numbers(answer[1]) << "\n";

  for (OrtValue* value : prompt) api->ReleaseValue(value);
  for (OrtValue* value : {image, embedding, answer[0], answer[1]}) api->ReleaseValue(value);
  api->ReleaseSession(decoder);
  api->ReleaseSession(encoder);
  api->ReleaseEnv(environment);
}

int main(int count, char** arguments) {
  if (count != 9) {
    std::cerr << "usage: segment ENCODER DECODER PHOTOGRAPH.ppm X0 Y0 X1 Y1 MASK.pgm\n";
    return 2;
  }
  if (api == nullptr) {
    std::cerr << "segment: the library of ONNX Runtime is older than the headers it was compiled with\n";
    return 1;
  }
  try {
    segment(arguments);
  } catch (const std::exception& error) {
    std::cerr << "segment: " << error.what() << "\n";
    return 1;
  }
}
