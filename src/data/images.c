/* SPDX-License-Identifier: Apache-2.0 */
/*
 * images:DIR reads a folder for each class, DIR/CLASS/FILE.jpg. Only the files' names stay in
 * memory; images are read and decoded when they are wanted. Also: image files by their paths, for
 * predictions.
 */
#include <string.h>
#include <sys/stat.h>

#include "data/data_private.h"

typedef struct images_params {
    int64_t channels;
} images_params;

static const bdl__field fields[] = {
    BDL_FIELD(images_params, channels, .def.i64 = 0, .range = BDL_IN(0, 3),
              .doc = "1 = grey, 3 = red, green and blue; 0 = as the first image."),
};

enum { MOST_FILE_BYTES = 256 << 20, MOST_IMAGES = 1 << 30 };
#define MOST_PROBED INT64_C(100) /* images that may be broken before one gives the shape */

typedef struct image_file {
    const char *name; /* relative to the directory, "cat/1.jpg"; in the arena */
    int32_t label;
} image_file;

typedef struct images_state {
    const char *directory; /* "" for plain paths */
    int64_t channels;
    image_file *files; /* owned, [capacity] */
    size_t capacity;
} images_state;

/* ---- finding the files ---- */

static bool is_image_name(const char *name)
{
    static const char *const endings[] = {".jpg", ".jpeg", ".png"};
    const size_t size = strlen(name);
    for (int64_t i = 0; i < BDL__COUNT_OF(endings); i++) {
        const size_t n = strlen(endings[i]);
        bool is_same = size > n && name[0] != '.';
        for (size_t k = 0; is_same && k < n; k++) {
            const char c = name[size - n + k];
            is_same = (c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c) == endings[i][k];
        }
        if (is_same) {
            return true;
        }
    }
    return false;
}

static bdl_status add_image(bdl__dataset *dataset, const char *name, int32_t label)
{
    images_state *state = dataset->state;
    if ((size_t)dataset->n == state->capacity) {
        BDL__CHECK(dataset->n < MOST_IMAGES, BDL_ERR_UNSUPPORTED, "more than %d images",
                   MOST_IMAGES);
        const size_t capacity = BDL__MAX(2 * state->capacity, (size_t)1024);
        void *files = state->files;
        BDL__TRY(bdl__realloc(dataset->allocator, state->capacity * sizeof(image_file),
                              capacity * sizeof(image_file), &files));
        state->files = files;
        state->capacity = capacity;
    }
    state->files[dataset->n++] = (image_file){.name = name, .label = label};
    return BDL_OK;
}

/* Adds DIR/CLASS/ *.jpg; `scratch` is for the directory's list. */
static bdl_status add_class(bdl__dataset *dataset, bdl__arena *scratch, const char *class_name,
                            int32_t label)
{
    const images_state *state = dataset->state;
    const char *path;
    const char *const *names = NULL;
    int64_t n_names = 0;
    BDL__TRY(bdl__path_join(scratch, state->directory, class_name, &path));
    BDL__TRY(bdl__list_directory(scratch, path, &names, &n_names));
    for (int64_t i = 0; i < n_names; i++) {
        if (is_image_name(names[i])) {
            const char *name;
            BDL__TRY(bdl__arena_printf(&dataset->arena, &name, "%s/%s", class_name, names[i]));
            BDL__TRY(add_image(dataset, name, label));
        }
    }
    return BDL_OK;
}

static bdl_status add_classes(bdl__dataset *dataset)
{
    const images_state *state = dataset->state;
    const char *const *names = NULL;
    int64_t n_names = 0;
    BDL__TRY(bdl__list_directory(&dataset->arena, state->directory, &names, &n_names));
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(&dataset->arena, (size_t)n_names * sizeof(char *), &memory));
    const char **classes = memory;
    for (int64_t i = 0; i < n_names; i++) {
        bdl__arena scratch;
        bdl__arena_init(&scratch, dataset->allocator);
        const char *path = NULL;
        bdl_status status = bdl__path_join(&scratch, state->directory, names[i], &path);
        if (status == BDL_OK && names[i][0] != '.' && bdl__is_directory(path)) {
            classes[dataset->n_classes] = names[i];
            status = add_class(dataset, &scratch, names[i], (int32_t)dataset->n_classes++);
        }
        bdl__arena_free(&scratch);
        BDL__TRY(status);
    }
    dataset->class_names = classes;
    BDL__CHECK(dataset->n > 0, BDL_ERR_NOT_FOUND,
               "%s: expected a folder for each class with .jpg, .jpeg or .png files, found %lld "
               "folder%s and no image",
               state->directory, (long long)dataset->n_classes, bdl__plural(dataset->n_classes));
    return BDL_OK;
}

/* ---- reading ---- */

static bdl_status read_file(const bdl__dataset *dataset, int64_t i, bdl__bytes *bytes)
{
    const images_state *state = dataset->state;
    const char *name = state->files[i].name;
    if (state->directory[0] == 0) {
        return bdl__file_read(dataset->allocator, name, MOST_FILE_BYTES, bytes);
    }
    bdl__text path;
    bdl__text_init(&path, dataset->allocator);
    bdl__text_append(&path, "%s/%s", state->directory, name);
    bdl_status status = bdl__text_status(&path);
    if (status == BDL_OK) {
        status = bdl__file_read(dataset->allocator, bdl__text_get(&path), MOST_FILE_BYTES, bytes);
    }
    bdl__text_free(&path);
    return status;
}

static bdl_status read_row(const bdl__dataset *dataset, int64_t i, bdl__sample *sample)
{
    const images_state *state = dataset->state;
    bdl__bytes bytes = {0};
    BDL__TRY(read_file(dataset, i, &bytes));
    const bdl_status status =
        bdl__image_decode(bytes.data, bytes.size, state->channels, state->files[i].name, sample);
    bdl__bytes_free(&bytes);
    sample->label = state->files[i].label;
    return status;
}

/* Shape of the first image that is not broken, from its header. */
static bdl_status find_shape(bdl__dataset *dataset)
{
    images_state *state = dataset->state;
    bdl_status status = BDL_OK;
    for (int64_t i = 0; i < BDL__MIN(dataset->n, MOST_PROBED); i++) {
        bdl__bytes bytes = {0};
        int64_t width = 0, height = 0;
        int n_channels = 0;
        status = read_file(dataset, i, &bytes);
        if (status == BDL_OK) {
            status = bdl__image_info(bytes.data, bytes.size, state->files[i].name, &width, &height,
                                     &n_channels);
            bdl__bytes_free(&bytes);
        }
        if (status == BDL_OK) {
            state->channels = state->channels == 0 ? n_channels : state->channels;
            dataset->shape = (bdl__shape){.rank = 3, .dim = {state->channels, height, width}};
            return BDL_OK;
        }
        if (status == BDL_ERR_UNSUPPORTED || status == BDL_ERR_OUT_OF_MEMORY) {
            return status;
        }
    }
    return dataset->n == 1 ? status
                           : bdl__fail_in(status, "none of the first %lld images can be read, the last because",
                                          (long long)BDL__MIN(dataset->n, MOST_PROBED));
}

static bdl_status create_state(bdl__dataset *dataset, const char *directory, int64_t channels)
{
    void *memory = NULL;
    BDL__TRY(bdl__arena_alloc(&dataset->arena, sizeof(images_state), &memory));
    images_state *state = memory;
    state->directory = directory;
    state->channels = channels;
    dataset->state = state;
    dataset->element = BDL__ELEMENT_U8;
    dataset->is_fixed_shape = false;
    return BDL_OK;
}

static bdl_status open_set(bdl__dataset *dataset, const bdl__open_args *args)
{
    const images_params *params = args->params;
    BDL__CHECK(params->channels != 2, BDL_ERR_INVALID_ARGUMENT,
               "channels must be 1, 3, or 0 for those of the first image, got 2");
    BDL__TRY(create_state(dataset, args->source, params->channels));
    BDL__TRY(add_classes(dataset));
    dataset->label_kind = BDL__LABEL_CLASS;
    dataset->default_transform = "normalize(mean=0.5, std=0.25, divide=255)";
    return find_shape(dataset);
}

/* Hash of the relative path and the file's size: known without reading it, the same everywhere. */
static bdl__key key_of(const bdl__dataset *dataset, int64_t i)
{
    const images_state *state = dataset->state;
    const char *name = state->files[i].name;
    char path[4096 + 16];
    struct stat info;
    uint64_t size = 0;
    const size_t n_directory = strlen(state->directory), n_name = strlen(name);
    if (n_directory + n_name + 2 < sizeof path - sizeof size) {
        memcpy(path, state->directory, n_directory);
        path[n_directory] = '/';
        memcpy(path + n_directory + 1, name, n_name + 1);
        if (stat(n_directory == 0 ? name : path, &info) == 0) {
            size = (uint64_t)info.st_size;
        }
        memcpy(path, name, n_name);
        memcpy(path + n_name, &size, sizeof size);
        return bdl__hash128(path, n_name + sizeof size);
    }
    return bdl__hash128(name, n_name);
}

static const char *name_of(const bdl__dataset *dataset, int64_t i)
{
    const images_state *state = dataset->state;
    return state->files[i].name;
}

static void close_set(bdl__dataset *dataset)
{
    images_state *state = dataset->state;
    if (state != NULL && state->files != NULL) {
        bdl__free(dataset->allocator, state->files, state->capacity * sizeof(image_file));
    }
}

static const bdl__reader images = {
    .name = "images",
    .source = "DIR",
    .needs_source = true,
    .summary = "Image files, in a folder for each class.",
    .doc =
        "DIR/CLASS/FILE with .jpg, .jpeg or .png files; classes are the folders in the order of "
        "their\n"
        "names. JPEG: grey, color, CMYK (as Adobe writes it). PNG: any; transparent pixels are\n"
        "blended on white. Images of up to 64 megapixels become planes (channels, height, width) "
        "of\n"
        "bytes in the order red, green, blue; grey is Rec. 601 luminance. Where sizes differ, use "
        "the\n"
        "transforms resize and crop. Without transforms given: (x / 255 - 0.5) / 0.25. Broken "
        "images\n"
        "are named; training leaves them out up to a stated share.",
    .schema = {.name = "images",
               .fields = fields,
               .n_fields = BDL__COUNT_OF(fields),
               .params_size = sizeof(images_params)},
    .open = open_set,
    .read = read_row,
    .key = key_of,
    .name_of = name_of,
    .close = close_set,
};
BDL_READER(images, &images);

static bdl_status add_paths(bdl__dataset *dataset, const char *const *paths, int64_t n_paths,
                            int64_t channels)
{
    dataset->reader = &images;
    BDL__TRY(create_state(dataset, "", channels));
    for (int64_t i = 0; i < n_paths; i++) {
        const char *name;
        BDL__TRY(bdl__arena_strdup(&dataset->arena, paths[i], &name));
        BDL__TRY(add_image(dataset, name, 0));
    }
    BDL__CHECK(n_paths > 0, BDL_ERR_INVALID_ARGUMENT, "there are no image files");
    dataset->label_kind = BDL__LABEL_NONE;
    return find_shape(dataset);
}

bdl_status bdl__dataset_open_images(const bdl_allocator *allocator, const bdl__log *log,
                                    const char *const *paths, int64_t n_paths, int64_t channels,
                                    bdl__dataset **dataset)
{
    bdl__dataset *made;
    BDL__TRY(bdl__dataset_create(allocator, log, "image files", BDL__PART_ALL, &made));
    const bdl_status status = add_paths(made, paths, n_paths, channels);
    if (status != BDL_OK) {
        bdl__dataset_free(made);
        return status;
    }
    *dataset = made;
    return BDL_OK;
}
