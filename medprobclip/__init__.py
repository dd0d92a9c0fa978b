"""MedProbCLIP: probabilistic vision-language embeddings of chest radiographs and reports.

A file imports only from files above it in this list, which a test asserts:

    files.py                       files and folders put in place whole or not at all
    memory.py                      freed memory kept for the next step
    precision.py                   bfloat16 where the device has it
    gaussian.py                    a diagonal Gaussian: what an image or a report becomes
    compiling.py                   functions over tiles, compiled where a compiler is
    kernels.py                     the expected likelihood in compiled tiles, forward and backward
    similarity.py                  pairwise scores between two sets of Gaussians
    targets.py                     which answers in a batch are right, and what wrong ones cost
    mixing.py                      two radiographs in one, and the targets alike
    search.py                      the k most likely matches in a gallery of any size
    scaling.py                     what scoring a gallery costs, measured
    objectives.py                  named terms that sum to the loss
    backbones.py                   what we need to know of a transformers backbone
    checkpoints.py                 the published .pt -> settings and weights under our names
    model.py                       encoders, Gaussian heads, similarity: the one screen
    data/assets.py                 fetch, verify and cache the default corpus's raw material
    data/reports.py                sentences, and which texts are the same
    data/tokenizer.py              word pieces learned from training reports
    data/studies.py                the study table: read, check, split, write
    data/images.py                 read PNG, JPEG and DICOM, resize, cache
    data/augment.py                training views and plain evaluation input
    data/corruptions.py            eleven faults of a film at five severities
    data/coding.py                 what an expert code says
    data/chexpert.py               expert codes -> the 13 CheXpert findings
    data/anatomy.py                the prepared chest: attenuation, labels, lungs, landmarks
    data/landmarks.py              named places in the chest
    data/preparation.py            the labelled CT, prepared as the volume every patient starts from
    data/deformation.py            from that volume to one patient
    data/patients.py               who is behind a study: sex, age, build
    data/projection.py             from a volume to a film
    data/edits.py                  soft-edged changes of a volume
    data/diffuse_findings.py       drawing what pervades the lungs
    data/focal_findings.py         drawing what sits in one place of the lungs
    data/chest_findings.py         heart, vessels, pleura and diaphragm
    data/bone_findings.py          spine and ribs
    data/devices.py                catheters, pacemakers, wires
    data/findings.py               the table: heading, where, what happens
    data/truth.py                  what was drawn, where, and how well it can be seen
    data/simulate.py               a study's codes -> its PA and lateral radiograph, and the truth
    data/corpus.py                 many studies on disk, in parallel, resumable
    data/appearance.py             which codes look the same in the pictures
    data/openi.py                  the archive of OpenI reports -> a table
    data/openi_sim.py              these reports, simulated radiographs: the default corpus
    data/showcase.py               a dozen findings to look at
    evaluation/correspondence.py   which studies say the same
    data/dataset.py                two views and two sections -> a batch
    data/report_similarity.py      how much two training reports say the same, without labels
    data/lookalikes.py             studies that say the same, to look at
    processor.py                   images and texts as they come -> what the model takes
    encoders.py                    small encoders from scratch, or pretrained ones by name
    embedding.py                   embed a held-out set once, keep it with its study ids
    evaluation/ceiling.py          what a perfect reader of the images could know
    evaluation/retrieval.py        ranks, recall, precision, chance, ceiling, intervals
    evaluation/reliability.py      risk-coverage, rank correlation
    evaluation/discrimination.py   AUROC and its interval
    evaluation/many_to_many.py     precision, graded overlap, plausible errors, hubs
    evaluation/confidence.py       how sure a query is of its answer
    evaluation/calibration.py      from scores to probabilities, and how right they are
    evaluation/resampling.py       methods on the same queries: intervals, paired differences
    evaluation/zeroshot.py         findings told by sentences for and against
    training.py                    epochs, validation, checkpoints, resuming
    classifier.py                  a small network that names what it sees
    profiles.py                    smoke, demo, paper
    runs.py                        a run folder: train, score once, read back
    workspace.py                   where corpus, runs and figures lie
    experiments.py                 methods, seeds and ablation: which runs there are
    comparison.py                  these runs, scored on held-out studies
    reported.py                    the paper's numbers
    retrieval_tables.py            recall, many-to-many, hubs by method
    zeroshot_tables.py             AUROC by finding and method
    reliability_tables.py          selective retrieval and calibration by method
    robustness.py                  every method on faulty radiographs
    ablation.py                    MedProbCLIP with one thing changed
    plots.py                       arrays in, Axes out
    corpus_figures.py              figures of the corpus
    model_figures.py               figures of one model
    comparison_figures.py          figures of what the methods find
    reliability_figures.py         figures of doubt
    figures.py                     every figure, one maker each
    gallery.py                     figures/README.md: what the figures show, in words
    readability.py                 can a small network see what was drawn? a command
    headless.py                    the notebooks without a browser
    report.py                      executed notebooks -> one page of HTML
    reproduce.py                   everything of the paper, a command
    medprobclip_train.py           the published command
"""
