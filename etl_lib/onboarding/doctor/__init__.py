"""Looks whether all that a client needs is there and works, and says what to do where it does not."""

from etl_lib.onboarding.doctor.examine import examine
from etl_lib.onboarding.doctor.finding import Finding, Outcome
from etl_lib.onboarding.doctor.sample import SampleTrial, try_sample

__all__ = ["Finding", "Outcome", "SampleTrial", "examine", "try_sample"]
