"""Every number of the solver that was tuned, with its source; each part of the solver is given its own.

Where a source says *calibrated*, the number was chosen on calibration crystals (seeds 5000–5999, see
`analysis.benchmark.generator`): change it here and run `vo2 benchmark trust --seed 5000 --crystals 108`,
which prints the share of crystals found, CPU seconds, and agreement and noise ratio of right and of wrong
objects.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class LevelConfig:
    """Size of the coarsest level. Source: calibrated; `coarsest` is the box of the network.

    Parameters
    ----------
    coarsest : int
        Voxels per axis.
    thinnest : int
        Voxels across the crystal, at least.
    cut : float
        Share of the counts that may be cut off along an axis.
    step : int
        The size is a multiple of this: such sizes transform fast.
    """

    coarsest: int = 32
    thinnest: int = 10
    cut: float = 0.01
    step: int = 8


@dataclass(frozen=True)
class StartConfig:
    """What starts are drawn from. Source: calibrated, where nothing else is said.

    Parameters
    ----------
    wrapped : float
        An autocorrelation that reaches further than this share of an axis may have wrapped (it does at 0.5):
        no size is read from it.
    extent : tuple of float
        Share of an axis that the initial box fills where the autocorrelation wrapped. Source: sampling. The
        crystal fills more than ``wrapped`` there, and a pattern sampled 1.5 times holds one of 1/1.5 = 0.67.
        `vo2 benchmark trust` writes the extents of its crystals as ``extent_0`` to ``extent_2``.
    around_extent : tuple of float
        The same in units of the autocorrelation's half width, where it did not wrap.
    thinnest : int
        Voxels across the initial box, at least.
    exponents, strengths : tuple of float
        Of a curved start's phase (`starts.curved_start`): no one of them suits all kinds of phase.
    spread : float
        Mean square distance of a body from its middle along an axis over its extent squared. Source:
        between a box's 1/12 and an ellipsoid's 1/20.
    roughness, smoothness : float
        Standard deviation, rad, of the smooth noise added to a curved phase, and its width, voxels.
    least_share : float
        Intensity below this share of the brightest says nothing about the phase: fringes and noise.
    blur_share, largest_blur : float
        A start assumes this share of the blur fitted to the best object, at most so many voxels: wrong
        objects are fitted with too much, and HIO leaves even the true object where too much was
        deconvolved.
    transfer_steps : int
        Steps of fine-tuning on the pattern, where the network as it is did not lead to the object.
    """

    wrapped: float = 0.42
    extent: tuple[float, float] = (0.42, 0.68)
    around_extent: tuple[float, float] = (0.9, 1.2)
    thinnest: int = 3
    exponents: tuple[float, float] = (2.0, 4.0)
    strengths: tuple[float, float] = (1.0, 1.4)
    spread: float = 1 / 16
    roughness: float = 0.3
    smoothness: float = 3.0
    least_share: float = 0.05
    blur_share: float = 0.7
    largest_blur: float = 0.2
    transfer_steps: int = 20


@dataclass(frozen=True)
class SearchConfig:
    """When starts count as one object, and how long a search goes on. Source: calibrated.

    χ² here is that of the coarsest level.

    Parameters
    ----------
    budget : int
        Starts, at most.
    round : int
        Starts that are added where those before leave a doubt.
    same, likely : float
        Overlap from which two objects count as one; from which they may be one, and are worth refining.
    rival, rivals : float, int
        Candidates within this factor of the lowest χ², the best so many, have a say in the agreement.
    equal : float
        Candidates within this factor of the lowest χ² explain the pattern equally well.
    no_worse : float
        A candidate with its amplitude flattened, or its support tightened, replaces what it was made from
        up to this ratio of their χ².
    refined : int
        Candidates that are refined at a time, and kept.
    clear_lead : float
        A χ² below this share of the next one's: probably right, although no other start confirms it.
    filled : float
        A support that reaches over more than this share of an axis explains any counts.
    cutting, noise : float
        χ² that right objects leave at most: ``cutting`` (what rings outside the support since q was cut
        there) plus ``noise`` times what counting noise leaves. Of wrong objects on which starts agree most
        leave more.
    unexplained, times_noise : float
        χ², above that of noise and in units of it, from which the model of the measurement lacks something.
    mean_of : int
        Starts that are made where their mean is wanted.
    explained : float
        Noise ratio at full resolution up to which noise explains an object on which starts agree.
    confirmed : int
        Independent starts that must have ended at an object which leaves more than that.
    untrusted : int
        Starts, at most, where the counts themselves rule out trust: an object is given all the same, and no
        mean is made. Source: chosen when it was written.
    """

    budget: int = 64
    round: int = 8
    same: float = 0.97
    likely: float = 0.9
    rival: float = 2.0
    rivals: int = 8
    equal: float = 1.3
    no_worse: float = 1.3
    refined: int = 4
    clear_lead: float = 0.5
    filled: float = 0.9
    cutting: float = 0.001
    noise: float = 1.5
    unexplained: float = 0.004
    times_noise: float = 5.0
    mean_of: int = 40
    explained: float = 1.3
    confirmed: int = 3
    untrusted: int = 16

    def without_trust(self) -> SearchConfig:
        """Return the rules for counts of which no object would be trusted."""
        return replace(self, budget=min(self.budget, self.untrusted), mean_of=0)


@dataclass(frozen=True)
class RefinementConfig:
    """The last iterations, at full resolution. Source: calibrated.

    Parameters
    ----------
    smoothing : float, voxels
        Of the amplitude, for the final support.
    above_noise : float
        The final support is what exceeds the amplitude of the counting noise so many times …
    faintest : float
        … and this share of the largest amplitude: a band-limited crystal rings, and that belongs to it.
    fit_size : int
        Voxels per axis, at most, on which the blur is fitted.
    mean_of, alike : int, float
        Two objects are averaged; where their overlap is less than ``alike``, up to so many.
    as_good : float
        Largest ratio to the lowest χ² of an object that is averaged with it.
    unexplained : float
        Noise ratio from which a blur is looked for in patterns whose voxels are points.
    descents, point_descents : int
        Descents through the kernel in each half of the finish; of point samples, which cost less.
    """

    smoothing: float = 1.2
    above_noise: float = 3.0
    faintest: float = 0.005
    fit_size: int = 64
    mean_of: int = 5
    alike: float = 0.98
    as_good: float = 1.03
    unexplained: float = 1.6
    descents: int = 4
    point_descents: int = 12


@dataclass(frozen=True)
class CalibrationConfig:
    """Blur, flat field and exposure that are found with the object.

    Source: chosen when it was written (commits 9c83da0, a7fd45f, f0ec09e); no command derives them again.

    Parameters
    ----------
    prior : float
        Counts that each pixel and frame is taken to have had besides, with a response of 1.
    steady : float
        And each frame this share of what is expected of the brightest: faint frames say little.
    faintest : float
        Predicted counts from which a voxel says something of its pixel: √counts of fewer are biased.
    rounds, converged : int, float
        Turns at most, and the ratio of χ² to the last turn's from which they end.
    descents, final_descents : int
        Descents through the kernel in each turn, and after the last.
    lowest : int
        So many candidates, those of the lowest χ², are looked through for starts that ended at one object.
    least : int
        Fewer such starts are not averaged: a wrong object is also found by some.
    groups : int
        Into which they are divided.
    """

    prior: float = 400.0
    steady: float = 0.02
    faintest: float = 10.0
    rounds: int = 10
    converged: float = 0.98
    descents: int = 4
    final_descents: int = 20
    lowest: int = 32
    least: int = 16
    groups: int = 4


@dataclass(frozen=True)
class TrustConfig:
    """Limits of the verdict. Source: `vo2 benchmark trust --seed 5800 --crystals 96`.

    Parameters
    ----------
    agreement : float
        Overlap of two independent starts at full resolution, at least.
    close_agreement : float
        The same where more than noise is left although the voxels are points: measured data, or a wrong
        object. Below it a search goes on for another round, whatever the data.
    many, many_agreement : int, float
        So many independent starts that confirm an object make up for a looser agreement.
    noise_explains : float
        Noise ratio up to which noise alone explains point samples.
    noise_limit : float
        Largest noise ratio where the voxel widths are part of the model: 4/3 of the largest of a right object
        of that class.
    point_noise_limit : float
        The same of point samples, of patterns among them as most are kept, of a detector and a beam that
        nobody recorded. Source: the same command, and `--seed 5700 --crystals 24 --classes measured`.
    oversampling : float
        Below this the crystal does not fit the box: its own alias overlaps it.
    body : float
        Share of the largest amplitude above which a voxel counts for the crystal's extent.
    compactness : float
        Share of Σ abs(ρ)² that the largest connected part of the support must hold.
    effective_voxels : float
        Least number of voxels of equal density (`trust.effective_voxels`). Source: issue 14, by an outside
        judge: flat counts, blobs and a few voxels came to 1–214, right objects to 2270 and more.
    least_noise_ratio : float
        Least noise ratio of an object without parameters. An object of S voxels has 2S real ones, so that
        of N measured voxels 1 − 2S/N of the noise is expected to be left; the limit is so many times that.
        Source: the same judge (0.75); the smallest of a right calibration object is 0.70, of one that fills
        14 %.
    saturated, equal_peaks : float, int
        A peak is cut off where so many voxels or more have its counts exactly, and these are more than that:
        of faint counts several are equal by chance. Source: chosen when it was written, not calibrated.
    fano, faint, fewest_counted : float, float, int
        Least ratio of squared difference to sum of neighbours whose sum is at most ``faint`` (of 9 or 27
        voxels: twice that), from so many pairs on. Counts have 1 or more. Source: issue 14.
    edge, faintest, brightest : int, float, float
        Blocks of so many voxels a side with a mean between these counts are quiet.
    fewest_pairs, fewest_quiet : int, int
        So many pairs of neighbours that count two together make a block's share (`counting.lone_share`), and
        so many blocks are needed.
    quietest, most_lone : float, float
        At this quantile of the quiet blocks the share in which one of the two has none is at most this.
        Source: `vo2 benchmark counts`, which prints what counts and what was made of them come to.
    """

    agreement: float = 0.975
    close_agreement: float = 0.99
    many: int = 8
    many_agreement: float = 0.95
    noise_explains: float = 1.3
    noise_limit: float = 2.1
    point_noise_limit: float = 1.85
    oversampling: float = 1.2
    body: float = 0.1
    compactness: float = 0.9
    effective_voxels: float = 300.0
    least_noise_ratio: float = 0.75
    saturated: float = 1000.0
    equal_peaks: int = 4
    fano: float = 0.8
    faint: float = 20.0
    fewest_counted: int = 1000
    edge: int = 4
    faintest: float = 0.2
    brightest: float = 4.0
    fewest_pairs: int = 4
    fewest_quiet: int = 40
    quietest: float = 0.25
    most_lone: float = 0.46


@dataclass(frozen=True)
class TransferConfig:
    """Transfer learning on one pattern, after its search or in its place.

    Parameters
    ----------
    epochs : int
        Of the one pattern; the paper speaks of several hundred, and shows 2000. 0 leaves the guess as it is.
    learning_rate : float
        Of Adam. Source: prototypes; it is that of the fine-tuned start, too.
    overlap_every : int
        Epochs from one overlap with the search's object to the next.
    """

    epochs: int = 100
    learning_rate: float = 1e-4
    overlap_every: int = 5


@dataclass(frozen=True)
class NullModelConfig:
    """When a constant and a blob explain a pattern.

    Source: chosen on calibration crystals (seeds 5901–5908): those of 300 photons and more at their peak
    leave 24 standard deviations and more, flat counts and blobs up to 3. What the fit leaves of any pattern:
    `analysis.phasing.null_model.null_fit`.

    Parameters
    ----------
    sigmas, slack : float
        The deviance may differ by so many of its standard deviations, and by this share, from what noise
        leaves.
    exact : float
        Deviance over the sum of the counts below which the model is the pattern itself: no counts at all.
    hot_pixels : int
        Brightest pixels of the detector whose rows are left out.
    edge : int
        Voxels along each side of the box, about the brightest place, that is fitted.
    steps, settled : int, float
        Steps of the fit, at most; it ends where one gains less than this per voxel.
    slow, hopeless : float
        It is given up where a step gains less than this share and the deviance per voxel is still above this.
    shell, dark : float, float
        Voxels between the distances of a shell's profile; its middle holds at most this share of its maximum.
        Source: chosen when it was written.
    """

    sigmas: float = 5.0
    slack: float = 0.03
    exact: float = 1e-3
    hot_pixels: int = 4
    edge: int = 32
    steps: int = 30
    settled: float = 1e-5
    slow: float = 0.1
    hopeless: float = 3.0
    shell: float = 0.5
    dark: float = 0.2


@dataclass(frozen=True)
class SecondLatticeConfig:
    """The second of two lattices.

    Source: chosen when it was written (commit ef29cca); `vo2 truth` of a 20 nm series prints what they come
    to.

    Parameters
    ----------
    present : float
        Smoothed amplitude, in units of the crystal's own, above which the first lattice fills a voxel.
    share : float
        Half-width of the second peak's box over the distance of the peaks: their tails meet half way.
    foreign : float
        The same towards the first peak, beyond which voxels count as not measured: its tail is there.
    measured : float
        Share of the second peak's box that must have been measured.
    starts, hio, raar, settle : int
        Random starts, and the iterations of each.
    agreement : float
        Overlap of those starts below which the second lattice is not trusted.
    """

    present: float = 0.4
    share: float = 0.53
    foreign: float = 0.38
    measured: float = 0.5
    starts: int = 3
    hio: int = 150
    raar: int = 150
    settle: int = 30
    agreement: float = 0.9


@dataclass(frozen=True)
class PhasingConfig:
    """All of them; `reconstruct` takes one."""

    level: LevelConfig = field(default_factory=LevelConfig)
    start: StartConfig = field(default_factory=StartConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    refinement: RefinementConfig = field(default_factory=RefinementConfig)
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    trust: TrustConfig = field(default_factory=TrustConfig)
    second: SecondLatticeConfig = field(default_factory=SecondLatticeConfig)
    transfer: TransferConfig = field(default_factory=TransferConfig)
    null_model: NullModelConfig = field(default_factory=NullModelConfig)


DEFAULT = PhasingConfig()
"""What is used where nothing else is given."""
