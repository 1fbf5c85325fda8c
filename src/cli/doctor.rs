//! `podgate doctor`.

use super::membership::DirArgs;
use super::output::OutputArgs;
use super::stop::BudgetArgs;
use clap::Args;

#[derive(Debug, Args)]
#[group(skip)]
pub struct DoctorArgs {
    #[command(flatten)]
    pub dir: DirArgs,

    #[command(flatten)]
    pub budget: BudgetArgs,

    #[command(flatten)]
    pub output: OutputArgs,
}
