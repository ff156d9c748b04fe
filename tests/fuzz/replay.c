/*
 * Stands in for libFuzzer where there is none: runs a target over every file of the folders given,
 * or over the files themselves. Each input is copied to a block of exactly its size, so that a
 * sanitizer sees a read beyond it.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int run_file(const char *path) {
    FILE *file = fopen(path, "rb");
    struct stat st;
    if (!file || fstat(fileno(file), &st) < 0) {
        perror(path);
        exit(1);
    }
    size_t len = (size_t)st.st_size;
    uint8_t *data = malloc(len ? len : 1);
    if (!data || fread(data, 1, len, file) != len) {
        perror(path);
        exit(1);
    }
    fclose(file);
    LLVMFuzzerTestOneInput(data, len);
    free(data);
    return 1;
}

static int run_folder(const char *path) {
    DIR *dir = opendir(path);
    if (!dir)
        return run_file(path);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char full[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(full, sizeof full, "%s/%s", path, entry->d_name);
        count += run_file(full);
    }
    closedir(dir);
    return count;
}

int main(int argc, char **argv) {
    int count = 0;
    for (int i = 1; i < argc; i++)
        count += run_folder(argv[i]);
    printf("%d inputs\n", count);
    return count == 0; /* a corpus that is not there proves nothing */
}
