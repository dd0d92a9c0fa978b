"""MedProbCLIP: probabilistic vision-language embeddings of chest radiographs and reports.

A file imports only from files above it in this list, which a test asserts:

    support/files.py                    files and folders put in place whole or not at all
    support/memory.py                   freed memory kept for the next step
    support/precision.py                bfloat16 where the device has it
    support/compiling.py                functions over tiles, compiled where a compiler is
    support/kernels.py                  the expected likelihood in compiled tiles, forward and backward
    support/backbones.py                what we need to know of a transformers backbone
    support/checkpoints.py              the published .pt -> settings and weights under our names
    gaussian.py                         a diagonal Gaussian: what an image or a report becomes
    similarity.py                       pairwise scores between two sets of Gaussians
    targets.py                          which answers in a batch are right, and what wrong ones cost
    search.py                           the k most likely matches in a gallery of any size
    objectives.py                       named terms that sum to the loss
    model.py                            encoders, Gaussian heads, similarity: the one screen
    data/assets.py                      fetch, verify and cache the default corpus's raw material
    data/reports.py                     sentences, and which texts are the same
    data/tokenizer.py                   word pieces learned from training reports
    data/studies.py                     the study table: read, check, split, write
    data/images.py                      read PNG, JPEG and DICOM, resize, cache
    data/augment.py                     training views and plain evaluation input
    data/corruptions.py                 eleven faults of a film at five severities
    data/coding.py                      what an expert code says
    data/chexpert.py                    expert codes -> the 13 CheXpert findings
    data/openi.py                       the archive of OpenI reports -> a table
    data/correspondence.py              which studies say the same
    data/dataset.py                     two views and two sections -> a batch
    data/report_similarity.py           how much two training reports say the same, without labels
    data/lookalikes.py                  studies that say the same, to look at
    simulator/chest/anatomy.py          the prepared chest: attenuation, labels, lungs, landmarks
    simulator/chest/landmarks.py        named places in the chest
    simulator/chest/preparation.py      the labelled CT, prepared as the volume every patient starts from
    simulator/chest/deformation.py      from that volume to one patient
    simulator/drawing/edits.py          soft-edged changes of a volume
    simulator/drawing/diffuse.py        drawing what pervades the lungs
    simulator/drawing/focal.py          drawing what sits in one place of the lungs
    simulator/drawing/around_lungs.py   heart, vessels, pleura and diaphragm
    simulator/drawing/bones.py          spine and ribs
    simulator/drawing/devices.py        catheters, pacemakers, wires
    simulator/patients.py               who is behind a study: sex, age, build
    simulator/projection.py             from a volume to a film
    simulator/findings.py               the table: heading, where, what happens
    simulator/truth.py                  what was drawn, where, and how well it can be seen
    simulator/simulate.py               a study's codes -> its PA and lateral radiograph, and the truth
    simulator/corpus.py                 many studies on disk, in parallel, resumable
    simulator/appearance.py             which codes look the same in the pictures
    simulator/openi_sim.py              these reports, simulated radiographs: the default corpus
    simulator/showcase.py               a dozen findings to look at
    processor.py                        images and texts as they come -> what the model takes
    evaluation/scaling.py               what scoring a gallery costs, measured
    evaluation/embedding.py             embed a held-out set once, keep it with its study ids
    evaluation/ceiling.py               what a perfect reader of the images could know
    evaluation/retrieval.py             ranks, recall, precision, chance, ceiling, intervals
    evaluation/reliability.py           risk-coverage, rank correlation
    evaluation/discrimination.py        AUROC and its interval
    evaluation/many_to_many.py          precision, graded overlap, plausible errors, hubs
    evaluation/confidence.py            how sure a query is of its answer
    evaluation/calibration.py           from scores to probabilities, and how right they are
    evaluation/resampling.py            methods on the same queries: intervals, paired differences
    evaluation/zeroshot.py              findings told by sentences for and against
    training/mixing.py                  two radiographs in one, and the targets alike
    training/encoders.py                small encoders from scratch, or pretrained ones by name
    training/loop.py                    epochs, validation, checkpoints, resuming
    training/profiles.py                smoke, demo, paper
    training/runs.py                    a run folder: train, score once, read back
    workbench/workspace.py              where corpus, runs and figures lie
    workbench/headless.py               the notebooks without a browser
    workbench/report.py                 executed notebooks -> one page of HTML
    paper/tables/experiments.py         methods, seeds and ablation: which runs there are
    paper/tables/comparison.py          these runs, scored on held-out studies
    paper/tables/reported.py            the paper's numbers
    paper/tables/retrieval.py           recall, many-to-many, hubs by method
    paper/tables/zeroshot.py            AUROC by finding and method
    paper/tables/reliability.py         selective retrieval and calibration by method
    paper/tables/robustness.py          every method on faulty radiographs
    paper/tables/ablation.py            MedProbCLIP with one thing changed
    paper/figures/plots.py              arrays in, Axes out
    paper/figures/corpus.py             figures of the corpus
    paper/figures/model.py              figures of one model
    paper/figures/comparison.py         figures of what the methods find
    paper/figures/reliability.py        figures of doubt
    paper/figures/catalogue.py          every figure, one maker each
    paper/figures/gallery.py            figures/README.md: what the figures show, in words
    paper/classifier.py                 a small network that names what it sees
    paper/readability.py                can a small network see what was drawn? a command
    paper/reproduce.py                  everything of the paper, a command
    medprobclip_train.py                the published command
"""
