# Reads the tables of a study that `mien predict clips/ --out study/` wrote.
#
#   Rscript docs/read_study.R study
#
# The Parquet files are read with the package nanoparquet or arrow, whichever is installed:
#   install.packages("nanoparquet")
# Without both, the CSV files are read, which have the same rows.

read_table <- function(folder, name) {
  parquet <- file.path(folder, paste0(name, ".parquet"))
  if (requireNamespace("nanoparquet", quietly = TRUE)) {
    return(as.data.frame(nanoparquet::read_parquet(parquet)))
  }
  if (requireNamespace("arrow", quietly = TRUE)) {
    return(as.data.frame(arrow::read_parquet(parquet)))
  }
  table <- read.csv(file.path(folder, paste0(name, ".csv")), encoding = "UTF-8", na.strings = "")
  logical <- vapply(table, function(column) all(column %in% c("True", "False", NA)), logical(1))
  table[logical] <- lapply(table[logical], function(column) as.logical(column))
  table
}

options(width = 1000)  # a long path does not break the lines of a table
study <- commandArgs(trailingOnly = TRUE)
study <- if (length(study)) study[[1]] else "study"
tables <- sapply(c("frames", "people", "intervals", "events"), function(name) read_table(study, name),
                 simplify = FALSE)

for (name in names(tables)) {
  cat(sprintf("%s: %d rows, %d columns\n", name, nrow(tables[[name]]), ncol(tables[[name]])))
}

# The mean of happy for each person, over the frames: each frame counts alike.
frames <- tables$frames[!is.na(tables$frames$face_id), ]
if (nrow(frames)) {
  means <- aggregate(happy ~ source + face_id, data = frames, FUN = mean)
  print(means, digits = 6)
}

# Share of frames with one clear expression.
cat(sprintf("certain: %.4f\n", mean(!frames$uncertain)))
